"""The command that makes a run, or a comparison, once more."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from ukd_core.run.recipe import Recipe

FIRST = ("teacher", "student", "data", "method")


def distill_command(recipe: Recipe, folder: str) -> str:
    """``ukd distill`` with every option that is not its default; a recipe with written phases is named as a file.

    Args:
        recipe: Of the run.
        folder: The run folder, where the recipe lies.
    """
    output = ("--output", f"{folder.rstrip('/')}-again")
    if recipe.phases is not None:
        named = recipe.code_options()
        return _joined(["ukd distill", ("--recipe", f"{folder.rstrip('/')}/recipe.yaml"),
                        *zip(named[::2], named[1::2], strict=True), output])
    return _joined(["ukd distill", *_options(recipe.written(), without=("output",)), output])


def compare_command(settings: Mapping[str, Any], students: Iterable[str], methods: Iterable[str], seeds: int,
                    output: str) -> str:
    """``ukd compare`` with every option that is not its default; started again it reads the runs that are there."""
    axes = [("--students", ",".join(students)), ("--methods", ",".join(methods)), ("--seeds", str(seeds))]
    return _joined(["ukd compare", *axes, *_options(settings), ("--output", output)])


def _options(values: Mapping[str, Any], without: Iterable[str] = ()) -> list[tuple[str, str]]:
    keys = [*FIRST, *(key for key in Recipe.model_fields if key not in FIRST)]
    found = []
    for key in keys:
        value, default = values.get(key), Recipe.model_fields[key].default
        if key in without or key == "phases" or value is None or value == default or (value == [] and not default):
            continue
        if key == "plugins":
            found += [("--plugin", str(each)) for each in value]
        else:
            found.append((f"--{key.replace('_', '-')}", _as_text(value)))
    return found


def _as_text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _joined(parts: Iterable[str | tuple[str, str]]) -> str:
    """A line an option, as a shell reads it."""
    return " \\\n    ".join(part if isinstance(part, str) else f"{part[0]} {shlex.quote(part[1])}" for part in parts)
