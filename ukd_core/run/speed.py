"""How fast a model answers: the time of one text alone, and texts per second in batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

import torch

Answer = Callable[[Sequence[str], Sequence[str] | None], Any]
"""From texts (and their second texts, for pairs) to answers, tokenizing included."""
BATCH = 32
LEAST_CALLS = 5


@dataclass(frozen=True)
class Speed:
    """What was measured, from text to answer."""

    p50_ms: float
    """Median time of one text alone, milliseconds."""
    p95_ms: float
    """Of 100 texts, 95 are answered in less, milliseconds."""
    per_second: float
    """Texts a second in batches of `BATCH`."""
    threads: int
    """That the processor gave."""
    device: str
    """"cpu" or "cuda"."""


def measure_speed(answer: Answer, texts: Sequence[str], pairs: Sequence[str] | None = None, *,
                  seconds: float = 0.5, device: str = "cpu") -> Speed:
    """Time a model on real texts: one at a time, then in batches of `BATCH`.

    Args:
        answer: The model; called once before the clock starts.
        texts: At least one; they are taken in turn, from the first again when they end.
        pairs: Second texts, as many.
        seconds: Spent on each of the two, at least `LEAST_CALLS` calls.
        device: Where the model runs; `answer` must wait for it.
    """
    def calls(size: int) -> list[float]:
        spent: list[float] = []
        start = 0
        _timed(answer, texts, pairs, start, size)
        while len(spent) < LEAST_CALLS or sum(spent) < seconds:
            spent.append(_timed(answer, texts, pairs, start, size))
            start = (start + size) % len(texts)
        return spent

    single, batches = calls(1), calls(BATCH)
    cuts = quantiles(single, n=20, method="inclusive")
    return Speed(1e3 * cuts[9], 1e3 * cuts[18], BATCH * len(batches) / sum(batches), torch.get_num_threads(), device)


def _timed(answer: Answer, texts: Sequence[str], pairs: Sequence[str] | None, start: int, size: int) -> float:
    rows = [(start + offset) % len(texts) for offset in range(size)]
    first = [texts[row] for row in rows]
    second = None if pairs is None else [pairs[row] for row in rows]
    begin = time.perf_counter()
    answer(first, second)
    return time.perf_counter() - begin
