"""Commands that train: one run, a comparison of many, the demo."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ukd_core.commands.judging import Alternatives
from ukd_core.commands.options import (
    RECIPE_FILE,
    Cache,
    Plugins,
    cache_of,
    fixed_option,
    made_recipe,
    registry_of,
    with_recipe_options,
)
from ukd_core.commands.said import say
from ukd_core.commands.stopping import resumable, resumable_comparison
from ukd_core.errors import InputError

if TYPE_CHECKING:
    from ukd_core.run.recipe import Recipe


def _distill(*, recipe: str | None, overwrite: bool, resume: bool, check: bool, plugin: list[str] | None,
             with_baseline: bool, no_speed: bool, alternatives: str | None, **options: Any) -> None:
    """Teach a student: read the data, make the teacher ready, ask it once, train the student, write a run folder.

    Every option is also a key of a YAML recipe; options win over the recipe.
    """
    if resume and recipe is None and options.get("output") and not options.get("teacher"):
        recipe = str(Path(options["output"]) / "recipe.yaml")
    made = made_recipe("ukd distill", recipe, plugin, options)
    with resumable(made.output, resume):
        from ukd_core.run.distill import distill
        from ukd_core.run.processes import Processes
        from ukd_core.run.table import run_table
        asked = _asked_alternatives(alternatives)
        metrics = distill(made, overwrite=overwrite, resume=resume, check=check, speed=not no_speed,
                          baseline=with_baseline)
        if Processes(made.device).is_main:
            say(run_table(metrics, made.output))
            _judge(made, asked)


def _asked_alternatives(text: str | None) -> tuple[str, ...]:
    """The names, checked before anything else is done."""
    if text is None:
        return ()
    from ukd_core.run.alternatives import chosen
    return chosen(text)


def _judge(made: Recipe, alternatives: tuple[str, ...]) -> None:
    """End a run with its verdict; one without its answers, from elsewhere, has none."""
    from ukd_core.run.verdict import write_verdict
    from ukd_core.run.verdict.stored import is_finished
    from ukd_core.run.verdict.table import verdict_text
    output, registry = made.output, registry_of(list(made.plugins), made.plugin_folder)
    if alternatives:
        from ukd_core.run.alternatives import try_alternatives
        try_alternatives(output, alternatives, registry=registry)
    if is_finished(Path(output)):
        say("\n" + verdict_text(write_verdict(output, registry)))
        say(f"report: ukd report {shlex.quote(output)}")


def _compare(*, students: str, methods: str, seeds: int, jobs: int, output: str, plugin: list[str] | None,
             **options: Any) -> None:
    """Run students × methods × seeds with one teacher on the same data, and say which differences are more than chance.

    Runs that the output folder already holds are read, unfinished ones resumed: stop and start again as you like.
    The method `none` always takes part. Writes runs.csv, runs.parquet, summary.md and speed.json.
    """
    from ukd_core.run.compare import Grid, measured_speeds, run_grid, summarise
    from ukd_core.run.progress import Reporter
    from ukd_core.spec import split_specs
    values = {key: value for key, value in options.items() if value is not None}
    missing = [f"--{key}" for key in ("teacher", "data") if key not in values]
    if missing:
        raise InputError("ukd compare", f"missing {', '.join(missing)}", "Give the options.")
    if plugin:
        values["plugins"] = plugin
    grid = Grid.make(values, split_specs(students), split_specs(methods), seeds, output)
    with resumable_comparison(output):
        done = run_grid(grid, jobs, Reporter())
        registry = registry_of(plugin, values.get("plugin_folder"))
        say(summarise(grid, done, registry).text())
        measured_speeds(grid, registry)
    say(f"report: ukd report {shlex.quote(output)}")


DISTILL_OPTIONS = (
    RECIPE_FILE,
    fixed_option("overwrite", Annotated[bool, typer.Option("--overwrite", help="Replace what the folder holds.")],
                 False),
    fixed_option("resume", Annotated[bool, typer.Option("--resume", help="Continue the run that the output folder "
                                                                         "holds.")], False),
    fixed_option("with_baseline", Annotated[bool, typer.Option(
        "--with-baseline", help="Train the same student on labels alone as well: did distillation help?")], False),
    fixed_option("alternatives", Alternatives, None),
    fixed_option("no_speed", Annotated[bool, typer.Option(
        "--no-speed", help="Do not measure at the end how fast teacher and student answer.")], False),
    fixed_option("check", Annotated[bool, typer.Option(help="First try a few rows, as ukd check does.")], True),
    fixed_option("plugin", Plugins, None))
COMPARE_OPTIONS = (
    fixed_option("students", Annotated[str, typer.Option(help="Students as for distill: A,B,...")]),
    fixed_option("methods", Annotated[str, typer.Option(help="Methods: A,B,...; also NAME+universal and "
                                                             "NAME@PROJECTOR. none always takes part.")],
                 "logit-kd,universal-kd"),
    fixed_option("seeds", Annotated[int, typer.Option(min=1, max=1000,
                                                      help="Seeds of every method: 0, 1, ...")], 5),
    fixed_option("jobs", Annotated[int, typer.Option(min=1, max=256,
                                                     help="Runs at a time, each in a process of its own.")], 1),
    fixed_option("output", Annotated[str, typer.Option(help="Folder of the comparison.")]),
    fixed_option("plugin", Plugins, None))

distill = with_recipe_options(_distill, DISTILL_OPTIONS)
compare = with_recipe_options(_compare, COMPARE_OPTIONS, frozenset({"student", "method", "seed", "output"}))


def demo(output: Annotated[str, typer.Option(help="Folder for the runs.")] = "demo",
         cache: Cache = None) -> None:
    """Few labels, much unlabelled text: a real teacher, three students, three methods, one table."""
    from ukd_core.run.demo import demo as whole_demo
    say(whole_demo(Path(output), cache_of(cache)))
