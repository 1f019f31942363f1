"""Commands that use a stored model: its quality on data, its answers to texts, its speed, its export."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from ukd_core.commands.options import Cache, PluginFolder, Plugins, cache_of, lines_of, registry_of
from ukd_core.commands.said import say
from ukd_core.errors import InputError
from ukd_core.plain_text import is_plain

TextColumns = Annotated[str | None, typer.Option(help="Column of the texts, or A,B for pairs.")]
LabelColumn = Annotated[str | None, typer.Option(help="Column of the labels.")]
MOST_ROWS = 256
"""Texts that `predict` answers at once."""


def evaluate(model: Annotated[str, typer.Argument(help="Run folder, exported folder, model folder or hub name.")],
             data: Annotated[str, typer.Option(help="As for distill.")],
             split: Annotated[str | None, typer.Option(help="train, validation or test.")] = None,
             text_columns: TextColumns = None, label_column: LabelColumn = None,
             max_eval_rows: Annotated[int | None, typer.Option(min=1, help="Only a sample of this many rows.")] = None,
             plugin: Plugins = None, plugin_folder: PluginFolder = None, cache: Cache = None) -> None:
    """Score a stored classifier on data; prints JSON."""
    registry, folder = registry_of(plugin, plugin_folder), cache_of(cache)
    from ukd_core.run import answer
    told = _told(text_columns, label_column, max_eval_rows=max_eval_rows)
    say(json.dumps(answer.evaluate(model, data, registry, folder, split=split, **told), indent=2))


def predict(model: Annotated[str, typer.Argument(help="Run folder, exported folder, model folder or hub name.")],
            file: Annotated[str, typer.Argument(help="One text a line (a TAB between the texts of a pair), or JSON "
                                                     "objects in a .jsonl file; - is standard input.")] = "-",
            plugin: Plugins = None, plugin_folder: PluginFolder = None, cache: Cache = None) -> None:
    """Answer texts with a stored classifier as they arrive; prints a JSON object a line."""
    registry, folder = registry_of(plugin, plugin_folder), cache_of(cache)
    from ukd_core.run import answer
    stored, seen = answer.load_model(model, registry, folder), 0
    for lines in lines_of(file):
        rows = [_row(file, seen + number, line) for number, line in enumerate(lines, start=1)]
        seen += len(lines)
        for begin in range(0, len(rows), MOST_ROWS):
            for found in answer.predict(stored, rows[begin: begin + MOST_ROWS]):
                say(json.dumps(found, ensure_ascii=False))


def export(model: Annotated[str, typer.Argument(help="Run folder, model folder or hub name.")],
           form: Annotated[str, typer.Option("--format", help="hf, onnx or onnx-int8.")],
           output: Annotated[str | None, typer.Option(help="Folder to write; of a run by default RUN/FORMAT.")] = None,
           data: Annotated[str | None, typer.Option(help="Rows to compare the answers on, as for distill; by default "
                                                         "those of the run.")] = None,
           text_columns: TextColumns = None, label_column: LabelColumn = None,
           overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an export.")] = False,
           plugin: Plugins = None, plugin_folder: PluginFolder = None, cache: Cache = None) -> None:
    """Write a stored classifier as a folder to deploy; its answers are compared with the original's on real rows."""
    registry, folder = registry_of(plugin, plugin_folder), cache_of(cache)
    from ukd_core.run.export.folders import export as write
    say(str(write(model, form, registry, folder, output=output, data=data, overwrite=overwrite,
                  **_told(text_columns, label_column))))


def bench(models: Annotated[list[str], typer.Argument(help="Run folders, exported folders, model folders.")],
          data: Annotated[str, typer.Option(help="As for distill.")],
          teacher: Annotated[str | None, typer.Option(help="A model to measure first, which the others are compared "
                                                           "with.")] = None,
          threads: Annotated[int, typer.Option(min=1, max=1024, help="Threads of the processor.")] = 1,
          seconds: Annotated[float, typer.Option(
              min=0.0, max=3600.0,
              help="Spent on each model and batch size, in each of 5 turns.")] = 0.3,
          split: Annotated[str | None, typer.Option(help="train, validation or test.")] = None,
          text_columns: TextColumns = None, label_column: LabelColumn = None,
          plugin: Plugins = None, plugin_folder: PluginFolder = None, cache: Cache = None) -> None:
    """Measure stored classifiers side by side on this machine's processor: size, time, quality; prints a table."""
    from ukd_core.run.bench import bench as measure
    from ukd_core.run.bench import bench_table, use_threads
    use_threads(threads)
    registry, folder = registry_of(plugin, plugin_folder), cache_of(cache)
    names = [*([teacher] if teacher else []), *models]
    say(bench_table(measure(names, data, registry, folder, threads=threads, split=split, seconds=seconds,
                            **_told(text_columns, label_column))))


def _told(text_columns: str | None, label_column: str | None, **others: Any) -> dict[str, Any]:
    """What the user said on how to read the data."""
    told = {"text_columns": text_columns.split(",") if text_columns else None, "label_column": label_column, **others}
    return {key: value for key, value in told.items() if value is not None}


def _is_text(value: Any) -> bool:
    """Whether a tokenizer can read it: JSON may have half of a surrogate pair."""
    return isinstance(value, str) and is_plain(value.replace("\0", ""))


def _row(file: str, number: int, line: str) -> tuple[str, str | None]:
    """A text and the second one of a pair, from a line of text or, in a .jsonl file, an object."""
    if not file.endswith(".jsonl"):
        first, tab, second = line.partition("\t")
        return first, second if tab else None
    from ukd_core.run.data import TEXT_COLUMNS
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    names = next((names for names in TEXT_COLUMNS if isinstance(found, dict) and all(
        _is_text(found.get(name)) for name in names)), None)
    if found is None or names is None:
        raise InputError(f"file '{file}'", f"line {number}: expected a JSON object with a text, got {line[:40]!r}",
                         "Write one object a line with the key text, or two such as text1 and text2.")
    return found[names[0]], found[names[1]] if len(names) == 2 else None
