"""Options that several commands share, and what they are read into."""

from __future__ import annotations

import codecs
import inspect
import io
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

from ukd_core.errors import InputError

if TYPE_CHECKING:
    from ukd_core.plugins import Registry
    from ukd_core.run.recipe import Recipe

Plugins = Annotated[list[str] | None, typer.Option("--plugin", help="Plug-in module to load; may be repeated.")]
PluginFolder = Annotated[str | None, typer.Option(help="Folder of single-file plug-ins.")]
Cache = Annotated[str | None, typer.Option(help="Folder for downloads and kept results.")]
MOST_BYTES = 65_536
"""Of a text file that are read at once."""
NOT_OPTIONS = frozenset({"phases", "plugins"})
"""Keys of a recipe that are written in YAML only, or under another name."""


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


def fixed_option(name: str, kind: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    """An option of one command alone, as `with_recipe_options` takes it; without a default it has to be given."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


RECIPE_FILE = fixed_option("recipe", Annotated[str | None, typer.Option(help="YAML file with the keys below.")], None)


def made_recipe(command: str, file: str | None, plugins: list[str] | None, options: Mapping[str, Any],
                needed: Sequence[str] = ("teacher", "student", "data", "output")) -> Recipe:
    """The recipe of a file, of options, or of both, where options win.

    Args:
        command: Who asks, for messages.
        file: A YAML recipe.
        plugins: Modules to load.
        options: Keys of a recipe; those that are None were not given.
        needed: Keys that have to be given where there is no file.

    Raises:
        InputError: a needed key is missing, or a key or the file is wrong.
    """
    from ukd_core.run.recipe import Recipe
    values = {key: value for key, value in options.items() if value is not None}
    if plugins:
        values["plugins"] = plugins
    if file is not None:
        made = Recipe.read(file, **values)
        _refuse_code(file, made, values)
        return made
    missing = [f"--{key}" for key in needed if key not in values]
    if missing:
        raise InputError(command, f"missing {', '.join(missing)}", "Give the options or a --recipe.")
    return Recipe.make(values, where=command)


def _refuse_code(file: str, made: Recipe, given: Mapping[str, Any]) -> None:
    """A recipe may come from anybody: code that it alone names is not run."""
    unasked = made.model_copy(update={key: () if key == "plugins" else None for key in ("plugins", "plugin_folder")
                                      if key in given}).code_options()
    if unasked:
        raise InputError(f"recipe '{file}'", f"it names plug-ins, whose code would run: {', '.join(unasked[1::2])}",
                         f"If you trust them, add {shlex.join(unasked)}.")


def with_recipe_options(command: Callable[..., None], fixed: tuple[inspect.Parameter, ...],
                        without: frozenset[str] = frozenset()) -> Callable[..., None]:
    """A command that takes the keys of a recipe as options.

    Args:
        command: Takes all of them by keyword.
        fixed: Its further options.
        without: Keys that it does not take.
    """
    parameters = [*_recipe_options(without), *fixed]

    def wrapper(**options: Any) -> None:
        command(**options)

    wrapper.__doc__ = command.__doc__
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapper


def registry_of(modules: list[str] | None, folder: str | None) -> Registry:
    """What plug-ins offer, those included that the options name."""
    from ukd_core.plugins import load_registry
    return load_registry(modules or (), folder)


def cache_of(folder: str | None) -> Path:
    """The folder of an option, or the user's cache folder."""
    from ukd_core.run.embedded import cache_folder
    return Path(os.path.expanduser(folder)) if folder else cache_folder()


def lines_of(file: str) -> Iterator[list[str]]:
    """The lines of a text file without their ends, as many at a time as have arrived; "-" is standard input.

    Raises:
        InputError: it cannot be read as UTF-8.
    """
    try:
        with _bytes_of(file) as stream:
            decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")(), translate=True)
            rest = ""
            while part := stream.read1(MOST_BYTES):
                *lines, rest = (rest + decoder.decode(part)).split("\n")
                if lines:
                    yield lines
            rest += decoder.decode(b"", final=True)
            if rest:
                yield [rest]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"file '{file}'", f"expected readable UTF-8 text, got {error}") from error


def _bytes_of(file: str) -> io.BufferedReader | io.BytesIO:
    if file != "-":
        return Path(file).open("rb")
    buffer = getattr(sys.stdin, "buffer", None)
    return buffer if buffer is not None else io.BytesIO(sys.stdin.read().encode())
