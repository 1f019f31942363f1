"""The command line ``ukd``. Only what a command needs is imported, when it runs: help answers at once."""

from __future__ import annotations

import inspect
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

from ukd_core.errors import InputError, UKDError

if TYPE_CHECKING:
    from ukd_core.plugins import Registry

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Distil any text encoder into any other, matched layer by layer in the output space.")

Plugins = Annotated[list[str] | None, typer.Option("--plugin", help="Plug-in module to load; may be repeated.")]
PluginFolder = Annotated[str | None, typer.Option(help="Folder of single-file plug-ins.")]
Cache = Annotated[str | None, typer.Option(help="Folder for downloads and kept results.")]
# typer brings its own click from 0.20 on and used the public one before; this finds the base class in either.
USAGE_ERROR: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")
INTERRUPTED = 130
"""Exit status of a command that was stopped by Ctrl-C, as shells have it."""
NOT_OPTIONS = frozenset({"phases", "plugins"})
"""Keys of a recipe that are written in YAML only, or under another name."""


def main() -> None:
    """Run the command line; what the user can mend is one line on standard error and exit status 2."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("ukd").setLevel(logging.INFO)
    stopped = "stopped; what is complete is kept. Run the same command with --resume to continue."
    try:
        status = app(standalone_mode=False)
        if status == INTERRUPTED:  # some versions of typer answer Ctrl-C by themselves, without a word
            status = _complain(stopped, INTERRUPTED)
    except UKDError as error:
        status = _complain(str(error), error.exit_status)
    except USAGE_ERROR as error:
        status = _complain(error.format_message(), error.exit_code)
    except OSError as error:
        status = _complain(f"{error.filename or 'files'}: {error.strerror or error}.", 2)
    except (KeyboardInterrupt, typer.Abort):
        status = _complain(stopped, INTERRUPTED)
    sys.exit(status if isinstance(status, int) else 0)


def _complain(text: str, status: int) -> int:
    sys.stderr.write(f"ukd: {' '.join(text.split())}\n")
    return status


def _distill(*, recipe: str | None, overwrite: bool, resume: bool, plugin: list[str] | None, **options: Any) -> None:
    """Teach a student: read the data, make the teacher ready, ask it once, train the student, write a run folder.

    Every option is also a key of a YAML recipe; options win over the recipe.
    """
    values = {key: value for key, value in options.items() if value is not None}
    if plugin:
        values["plugins"] = plugin
    if resume and recipe is None and "output" in values and "teacher" not in values:
        recipe = str(Path(values["output"]) / "recipe.yaml")
    from ukd_core.run.recipe import Recipe
    if recipe is not None:
        made = Recipe.read(recipe, **values)
    else:
        missing = [f"--{key}" for key in ("teacher", "student", "data", "output") if key not in values]
        if missing:
            raise InputError("ukd distill", f"missing {', '.join(missing)}", "Give the options or a --recipe.")
        made = Recipe.make(values, where="ukd distill")
    from ukd_core.run.distill import distill
    from ukd_core.run.processes import Processes
    from ukd_core.run.table import run_table
    metrics = distill(made, overwrite=overwrite, resume=resume)
    if Processes(made.device).is_main:
        typer.echo(run_table(metrics, made.output))


def _compare(*, students: str, methods: str, seeds: int, jobs: int, output: str, plugin: list[str] | None,
             **options: Any) -> None:
    """Run students × methods × seeds with one teacher on the same data, and say which differences are more than chance.

    Runs that the output folder already holds are read, unfinished ones resumed: stop and start again as you like.
    The method `none` always takes part. Writes runs.csv, runs.parquet and summary.md.
    """
    from ukd_core.run.compare import Grid, run_grid, summarise
    from ukd_core.run.progress import Reporter
    from ukd_core.spec import split_specs
    values = {key: value for key, value in options.items() if value is not None}
    missing = [f"--{key}" for key in ("teacher", "data") if key not in values]
    if missing:
        raise InputError("ukd compare", f"missing {', '.join(missing)}", "Give the options.")
    if plugin:
        values["plugins"] = plugin
    grid = Grid.make(values, split_specs(students), split_specs(methods), seeds, output)
    done = run_grid(grid, jobs, Reporter())
    typer.echo(summarise(grid, done, _registry(plugin, values.get("plugin_folder"))).text())


def _recipe_options(without: frozenset[str] = frozenset()) -> list[inspect.Parameter]:
    """One command-line option for each key of a recipe; they are all texts here, the recipe checks and converts."""
    from ukd_core.run.recipe import Recipe
    parameters = []
    for key, field in Recipe.model_fields.items():
        if key in NOT_OPTIONS | without:
            continue
        default = "" if field.is_required() or field.default is None else f" [default: {field.default}]"
        option = typer.Option(f"--{key.replace('_', '-')}", help=f"{field.description}.{default}",
                              metavar=_metavar(field.annotation))
        parameters.append(inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None,
                                            annotation=Annotated[str | None, option]))
    return parameters


def _metavar(annotation: Any) -> str:
    parts = [annotation, *(part for part in get_args(annotation) if part is not type(None))]
    if get_origin(annotation) is Literal:
        return "|".join(get_args(annotation))
    if any(get_origin(part) is tuple for part in parts):
        return "A,B,..."
    names = {int: "INTEGER", float: "NUMBER", bool: "true|false"}
    return next((names[part] for part in parts if part in names), "TEXT")


def _fixed(name: str, kind: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


DISTILL_OPTIONS = (
    _fixed("recipe", Annotated[str | None, typer.Option(help="YAML file with the keys below.")], None),
    _fixed("overwrite", Annotated[bool, typer.Option("--overwrite", help="Replace what the folder holds.")], False),
    _fixed("resume", Annotated[bool, typer.Option("--resume", help="Continue the run that the output folder holds.")],
           False),
    _fixed("plugin", Plugins, None))
COMPARE_OPTIONS = (
    _fixed("students", Annotated[str, typer.Option(help="Students as for distill: A,B,...")]),
    _fixed("methods", Annotated[str, typer.Option(help="Methods: A,B,...; also NAME+universal and "
                                                 "NAME@PROJECTOR. none always takes part.")],
           "logit-kd,universal-kd"),
    _fixed("seeds", Annotated[int, typer.Option(min=1, help="Seeds of every method: 0, 1, ...")], 5),
    _fixed("jobs", Annotated[int, typer.Option(min=1, help="Runs at a time, each in a process of its own.")], 1),
    _fixed("output", Annotated[str, typer.Option(help="Folder of the comparison.")]),
    _fixed("plugin", Plugins, None))


def _with_options(command: Callable[..., None], fixed: tuple[inspect.Parameter, ...],
                  without: frozenset[str] = frozenset()) -> Callable[..., None]:
    parameters = [*_recipe_options(without), *fixed]

    def wrapper(**options: Any) -> None:
        command(**options)

    wrapper.__doc__ = command.__doc__
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapper


app.command("distill")(_with_options(_distill, DISTILL_OPTIONS))
app.command("compare")(_with_options(_compare, COMPARE_OPTIONS,
                                     frozenset({"student", "method", "seed", "output"})))


@app.command("eval")
def _eval(model: Annotated[str, typer.Argument(help="Run folder, model folder or hub name.")],
          data: Annotated[str, typer.Option(help="As for distill.")],
          split: Annotated[str | None, typer.Option(help="train, validation or test.")] = None,
          text_columns: Annotated[str | None, typer.Option(help="Column of the texts, or A,B for pairs.")] = None,
          label_column: Annotated[str | None, typer.Option(help="Column of the labels.")] = None,
          max_eval_rows: Annotated[int | None, typer.Option(min=1, help="Only a sample of this many rows.")] = None,
          plugin: Plugins = None, plugin_folder: PluginFolder = None, cache: Cache = None) -> None:
    """Score a stored classifier on data; prints JSON."""
    registry, folder = _registry(plugin, plugin_folder), _cache(cache)
    from ukd_core.run.answer import evaluate
    told = {"text_columns": text_columns.split(",") if text_columns else None, "label_column": label_column,
            "max_eval_rows": max_eval_rows}
    result = evaluate(model, data, registry, folder, split=split,
                      **{key: value for key, value in told.items() if value is not None})
    typer.echo(json.dumps(result, indent=2))


@app.command("predict")
def _predict(model: Annotated[str, typer.Argument(help="Run folder, model folder or hub name.")],
             file: Annotated[str, typer.Argument(help="One text a line (a TAB between the texts of a pair); "
                                                      "- is standard input.")] = "-",
             plugin: Plugins = None, plugin_folder: PluginFolder = None, cache: Cache = None) -> None:
    """Answer texts with a stored classifier; prints a JSON object a line."""
    registry, folder = _registry(plugin, plugin_folder), _cache(cache)
    from ukd_core.run.answer import load_classifier, predict
    source, space = load_classifier(model, registry, folder)
    rows = [line.rstrip("\r\n").split("\t", 1) for line in _lines(file)]
    pairs = [row[1] if len(row) == 2 else "" for row in rows] if any(len(row) == 2 for row in rows) else None
    for answer in predict(source, space, [row[0] for row in rows], pairs):
        typer.echo(json.dumps(answer, ensure_ascii=False))


plugins_app = typer.Typer(invoke_without_command=True, help="List what plug-ins offer, or check one of them.")
app.add_typer(plugins_app, name="plugins")


@plugins_app.callback()
def _plugins(context: typer.Context, plugin: Plugins = None, plugin_folder: PluginFolder = None) -> None:
    """List what plug-ins offer, and which plug-ins are broken; with `check`, try the laws on one of them."""
    context.obj = (plugin, plugin_folder)
    if context.invoked_subcommand is None:
        registry = _registry(plugin, plugin_folder)
        from ukd_core.run.table import plugin_table
        typer.echo(plugin_table(registry))


@plugins_app.command("check")
def _check(context: typer.Context,
           name: Annotated[str, typer.Argument(help="Anything that is registered, with its options: "
                                                    "name or name:key=value,...")],
           plugin: Plugins = None, plugin_folder: PluginFolder = None,
           examples: Annotated[int, typer.Option(min=1, help="Examples tried for each law.")] = 50) -> None:
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
    registry, broken = _registry([*(modules or ()), *(plugin or ())], plugin_folder or folder), False
    for case in default_cases(registry, name):
        outcomes = []
        for outcome in run_case(case, examples):
            typer.echo(str(outcome))
            outcomes.append(outcome)
        typer.echo(f"{case.word} '{name}': {summary(outcomes)}")
        broken = broken or any(outcome.status == "FAILED" for outcome in outcomes)
    raise typer.Exit(int(broken))


@app.command("methods")
def _methods(markdown: Annotated[bool, typer.Option("--markdown", help="As the page docs/methods.md.")] = False,
             plugin: Plugins = None, plugin_folder: PluginFolder = None) -> None:
    """List the methods with their phases, needs and sources."""
    registry = _registry(plugin, plugin_folder)
    from ukd_core.run.methods_list import method_list, methods_page
    typer.echo(methods_page(registry) if markdown else method_list(registry), nl=not markdown)


cache_app = typer.Typer(no_args_is_help=True, help="What is kept between runs.")
app.add_typer(cache_app, name="cache")


@cache_app.command("list")
def _cache_list(cache: Cache = None) -> None:
    """List what the cache folder holds, with sizes in megabytes."""
    from ukd_core.run.table import cache_table
    typer.echo(cache_table(_cache(cache)))


@cache_app.command("verify")
def _cache_verify(cache: Cache = None) -> int:
    """Compare every byte of the teacher answers with its checksum; exit status 1 where one is damaged."""
    from ukd_core.run.cache.entries import verify
    damaged = 0
    for entry, problem in verify(_cache(cache)):
        damaged += problem is not None
        typer.echo(f"{entry.path.name}: {problem or 'ok'}")
    return int(damaged > 0)


@cache_app.command("remove")
def _cache_remove(name: Annotated[str, typer.Argument(help="Name of an entry, or its first characters.")],
                  cache: Cache = None) -> None:
    """Delete one entry."""
    from ukd_core.run.cache.entries import remove
    entry = remove(_cache(cache), name)
    typer.echo(f"removed {entry.path}")


@app.command("demo")
def _demo(output: Annotated[str, typer.Option(help="Folder for the runs.")] = "demo",
          cache: Cache = None) -> None:
    """Few labels, much unlabelled text: a real teacher, three students, three methods, one table."""
    from ukd_core.run.demo import demo
    typer.echo(demo(Path(output), _cache(cache)))


def _registry(modules: list[str] | None, folder: str | None) -> Registry:
    from ukd_core.plugins import load_registry
    return load_registry(modules or (), folder)


def _cache(folder: str | None) -> Path:
    from ukd_core.run.embedded import cache_folder
    return Path(folder).expanduser() if folder else cache_folder()


def _lines(file: str) -> list[str]:
    try:
        stream = sys.stdin if file == "-" else Path(file).open(encoding="utf-8-sig")  # noqa: SIM115 - closed below
        with stream:
            return list(stream)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"file '{file}'", f"expected readable UTF-8 text, got {error}") from error


if __name__ == "__main__":
    main()
