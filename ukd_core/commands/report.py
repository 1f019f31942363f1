"""The command that writes a page about a run or a comparison."""

from __future__ import annotations

from typing import Annotated

import typer

from ukd_core.commands.options import PluginFolder, Plugins, registry_of
from ukd_core.commands.said import say


def report(folder: Annotated[str, typer.Argument(help="Folder of a finished run, or of a comparison.")],
           output: Annotated[str | None, typer.Option(help="HTML file to write [default: report.html in the "
                                                           "folder].")] = None,
           plugin: Plugins = None, plugin_folder: PluginFolder = None) -> None:
    """Write one HTML file about a run or a comparison: it needs no network and no JavaScript to be read."""
    registry = registry_of(plugin, plugin_folder)
    from ukd_core.run.report import write_report
    say(str(write_report(folder, output, registry)))
