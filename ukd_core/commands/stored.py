"""Commands that use a stored model: its quality on data, its answers to texts."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ukd_core.commands.options import Cache, PluginFolder, Plugins, cache_of, lines_of, registry_of


def evaluate(model: Annotated[str, typer.Argument(help="Run folder, model folder or hub name.")],
             data: Annotated[str, typer.Option(help="As for distill.")],
             split: Annotated[str | None, typer.Option(help="train, validation or test.")] = None,
             text_columns: Annotated[str | None, typer.Option(help="Column of the texts, or A,B for pairs.")] = None,
             label_column: Annotated[str | None, typer.Option(help="Column of the labels.")] = None,
             max_eval_rows: Annotated[int | None, typer.Option(min=1, help="Only a sample of this many rows.")] = None,
             plugin: Plugins = None, plugin_folder: PluginFolder = None, cache: Cache = None) -> None:
    """Score a stored classifier on data; prints JSON."""
    registry, folder = registry_of(plugin, plugin_folder), cache_of(cache)
    from ukd_core.run import answer
    told = {"text_columns": text_columns.split(",") if text_columns else None, "label_column": label_column,
            "max_eval_rows": max_eval_rows}
    result = answer.evaluate(model, data, registry, folder, split=split,
                             **{key: value for key, value in told.items() if value is not None})
    typer.echo(json.dumps(result, indent=2))


def predict(model: Annotated[str, typer.Argument(help="Run folder, model folder or hub name.")],
            file: Annotated[str, typer.Argument(help="One text a line (a TAB between the texts of a pair); "
                                                     "- is standard input.")] = "-",
            plugin: Plugins = None, plugin_folder: PluginFolder = None, cache: Cache = None) -> None:
    """Answer texts with a stored classifier; prints a JSON object a line."""
    registry, folder = registry_of(plugin, plugin_folder), cache_of(cache)
    from ukd_core.run import answer
    source, space = answer.load_classifier(model, registry, folder)
    rows = [line.rstrip("\r\n").split("\t", 1) for line in lines_of(file)]
    pairs = [row[1] if len(row) == 2 else "" for row in rows] if any(len(row) == 2 for row in rows) else None
    for found in answer.predict(source, space, [row[0] for row in rows], pairs):
        typer.echo(json.dumps(found, ensure_ascii=False))
