"""Commands that say what there is: plug-ins, whether they keep the laws, methods."""

from __future__ import annotations

from typing import Annotated

import typer

from ukd_core.commands.options import PluginFolder, Plugins, registry_of
from ukd_core.commands.said import say
from ukd_core.errors import InputError


def list_plugins(context: typer.Context, plugin: Plugins = None, plugin_folder: PluginFolder = None) -> None:
    """List what plug-ins offer, and which plug-ins are broken; with `check`, try the laws on one of them."""
    context.obj = (plugin, plugin_folder)
    if context.invoked_subcommand is None:
        registry = registry_of(plugin, plugin_folder)
        from ukd_core.run.table import plugin_table
        say(plugin_table(registry))


def check_plugin(context: typer.Context,
                 name: Annotated[str, typer.Argument(help="Anything that is registered, with its options: "
                                                          "name or name:key=value,...")],
                 plugin: Plugins = None, plugin_folder: PluginFolder = None,
                 examples: Annotated[int, typer.Option(min=1, max=100_000,
                                                          help="Examples tried for each law.")] = 50) -> None:
    """Try every law of its interface on a plug-in: a line a law. Exit status 1 where one is broken."""
    try:
        from ukd_core.testing import default_cases, run_case
        from ukd_core.testing.run import summary
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise InputError("ukd plugins check", "expected Hypothesis to be installed, got no such package",
                         "Install it with: pip install 'ukd[testing]'.") from error
    modules, folder = context.obj
    registry, broken = registry_of([*(modules or ()), *(plugin or ())], plugin_folder or folder), False
    for case in default_cases(registry, name):
        outcomes = []
        for outcome in run_case(case, examples):
            say(str(outcome))
            outcomes.append(outcome)
        say(f"{case.word} '{name}': {summary(outcomes)}")
        broken = broken or any(outcome.status == "FAILED" for outcome in outcomes)
    raise typer.Exit(int(broken))


def list_methods(markdown: Annotated[bool, typer.Option("--markdown", help="As the page docs/methods.md.")] = False,
                 plugin: Plugins = None, plugin_folder: PluginFolder = None) -> None:
    """List the methods with their phases, needs and sources."""
    registry = registry_of(plugin, plugin_folder)
    from ukd_core.run.methods_list import method_list, methods_page
    say(methods_page(registry) if markdown else method_list(registry), end=not markdown)
