"""``ukd bench``: stored models side by side on the processor of this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from ukd_core.run.answer import StoredModel, columns_of_run, load_model, read_task, texts_of
from ukd_core.run.output import usable_cache
from ukd_core.run.speed import Speed, measure_speed
from ukd_core.run.table import text_table
from ukd_core.run.trainer import evaluate_scores

if TYPE_CHECKING:
    from ukd_core.plugins import Registry

REPEATS = 5
SECONDS = 0.3
"""Of each measurement at each batch size, in each repeat."""
MOST_TEXTS = 1000
"""Texts that are timed, from the first; quality is measured on all."""


@dataclass(frozen=True)
class Measured:
    """One model beside others."""

    name: str
    parameters: int
    bytes: int
    speed: Speed
    """Medians over the repeats."""
    quality: float | None
    """The metric of the space; None where no row has a label."""
    metric: str


def use_threads(count: int) -> None:
    """Give every library that takes part so many threads; called before any of them has begun to work.

    Args:
        count: Threads, at least 1.
    """
    os.environ["RAYON_NUM_THREADS"] = str(count)  # of tokenizers
    os.environ["TOKENIZERS_PARALLELISM"] = "false" if count == 1 else "true"
    torch.set_num_threads(count)


def bench(names: Sequence[str], data: str, registry: Registry, cache: Path, *, threads: int = 1,
          split: str | None = None, repeats: int = REPEATS, seconds: float = SECONDS, **reading: Any
          ) -> list[Measured]:
    """Measure stored models on the same texts, in turns, so that what disturbs the machine disturbs all of them.

    Args:
        names: Run folders, exported folders, model folders, hub names.
        data: As for a recipe.
        registry: Adapters and output spaces.
        cache: Folder for downloads.
        threads: Of the processor; `use_threads` was called with it.
        split: As for `texts_of`.
        repeats: Turns; each figure is the median over them.
        seconds: As `measure_speed` takes it, in each turn.
        **reading: Further arguments of `read_data`.
    """
    cache = usable_cache(cache)
    models = [load_model(name, registry, cache, threads=threads) for name in names]
    columns = next((found for name in names if (found := columns_of_run(name))), {})
    task = read_task(data, models[0].space, cache, **{**columns, **reading})
    part, texts, pairs = texts_of(task, data, split)
    quality = []
    for model in models:
        labels = read_task(data, model.space, cache, **{**columns, **reading}).labels(part)
        quality.append(evaluate_scores(model.answer(texts, pairs), labels, model.space).get(model.space.metric))
    speeds = in_turns(models, texts[:MOST_TEXTS], None if pairs is None else pairs[:MOST_TEXTS], repeats, seconds)
    return [Measured(model.name, model.parameters, model.bytes, speed, score, model.space.metric)
            for model, speed, score in zip(models, speeds, quality, strict=True)]


def in_turns(models: Sequence[StoredModel], texts: Sequence[str], pairs: Sequence[str] | None, repeats: int,
             seconds: float) -> list[Speed]:
    """The speed of each model: medians over `repeats` turns.

    Args:
        models: Who answers.
        texts: At least one.
        pairs: Second texts, as many.
        repeats: Turns.
        seconds: Of each measurement.
    """
    found: list[list[Speed]] = [[] for _ in models]
    for _ in range(repeats):
        for model, speeds in zip(models, found, strict=True):
            speeds.append(measure_speed(model.answer, texts, pairs, seconds=seconds))
    return [Speed(median(speed.p50_ms for speed in speeds), median(speed.p95_ms for speed in speeds),
                  median(speed.per_second for speed in speeds), speeds[0].threads, speeds[0].device)
            for speeds in found]


def bench_table(measured: Sequence[Measured]) -> str:
    """The measurements as text; the first model is what the others are compared with."""
    first = measured[0]
    rows = [[part.name, f"{part.parameters:,}", f"{part.bytes / 1e6:,.1f}", f"{part.speed.p50_ms:.2f}",
             f"{part.speed.p95_ms:.2f}", f"{1e3 / part.speed.p50_ms:,.0f}", f"{part.speed.per_second:,.0f}",
             f"{part.speed.per_second / first.speed.per_second:.1f}×",
             "-" if part.quality is None else f"{part.quality:.4f}"] for part in measured]
    threads = first.speed.threads
    return text_table(f"{threads} thread{'s' if threads > 1 else ''} of the processor; from text to answer",
                      ["model", "parameters", "MB", "p50 ms", "p95 ms", "texts/s, 1", "texts/s, 32", "speed-up",
                       first.metric], rows, range(1, 9))
