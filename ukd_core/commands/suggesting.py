"""The command that answers before anything is trained."""

from __future__ import annotations

from typing import Annotated

import typer

from ukd_core.commands.options import Cache, PluginFolder, Plugins, cache_of, registry_of
from ukd_core.commands.said import say


def suggest(data: Annotated[str, typer.Option(help="As for distill; labels may be missing.")],
            latency_ms: Annotated[float, typer.Option(min=0.0,
                                                         help="Budget that p95 has to keep, milliseconds.")],
            teacher: Annotated[str | None, typer.Option(help="Its tokenizer is shared where a student can; it is "
                                                             "measured as well.")] = None,
            students: Annotated[str | None, typer.Option(help="Measure these in place of the default ones: A,B,...")
                                ] = None,
            batch: Annotated[int, typer.Option(
                min=1, max=10_000, help="Texts that are answered at once when latency is measured.")] = 1,
            threads: Annotated[int | None, typer.Option(min=1, max=1024,
                                                        help="Of the CPU; default: PyTorch's.")] = None,
            max_length: Annotated[int, typer.Option(min=3, max=1_000_000, help="Longest input in tokens.")] = 128,
            text_columns: Annotated[str | None, typer.Option(help="Column of the texts, or A,B for pairs.")] = None,
            label_column: Annotated[str | None, typer.Option(help="Column of the labels.")] = None,
            plugin: Plugins = None, plugin_folder: PluginFolder = None, cache: Cache = None) -> None:
    """Measure how fast students of many kinds answer your texts on this CPU, before any is trained."""
    registry, folder = registry_of(plugin, plugin_folder), cache_of(cache)
    from ukd_core.run import suggest as run
    from ukd_core.run.progress import Reporter
    from ukd_core.spec import split_specs
    told = {"text_columns": text_columns.split(",") if text_columns else None, "label_column": label_column}
    found = run.suggest(data, latency_ms, registry, folder, Reporter(), teacher=teacher,
                        students=split_specs(students) if students else (), batch=batch, max_length=max_length,
                        threads=threads, options=told)
    say(found.text(data, teacher))
