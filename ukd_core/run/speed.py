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
    """Median time of one text alone (of a request, where it has more), milliseconds."""
    p95_ms: float
    """Of 100 texts, 95 are answered in less, milliseconds."""
    per_second: float
    """Texts a second in batches of `BATCH`."""
    threads: int
    """That the processor gave."""
    device: str
    """"cpu" or "cuda"."""


def measure_speed(answer: Answer, texts: Sequence[str], pairs: Sequence[str] | None = None, *,
                  seconds: float = 0.5, device: str = "cpu", at_once: int = 1) -> Speed:
    """Time a model on real texts: one at a time, then in batches of `BATCH`.

    Args:
        answer: The model; called once before the clock starts.
        texts: At least one; they are taken in turn, from the first again when they end.
        pairs: Second texts, as many.
        seconds: Spent on each of the two, at least `LEAST_CALLS` calls; a first batch that takes longer is taken alone.
        device: Where the model runs; `answer` must wait for it.
        at_once: Texts of a request, where that is more than one.
    """
    def calls(size: int, least: int) -> list[float]:
        first = _timed(answer, texts, pairs, 0, size)
        if least == 1 and first > seconds:
            return [first]  # what a first call costs beside its work is small here, and five more would be long
        spent: list[float] = []
        start = 0
        while len(spent) < LEAST_CALLS or sum(spent) < seconds:
            spent.append(_timed(answer, texts, pairs, start, size))
            start = (start + size) % len(texts)
        return spent

    single, batches = calls(at_once, LEAST_CALLS), calls(BATCH, 1)
    cuts = quantiles(single, n=20, method="inclusive")
    return Speed(1e3 * cuts[9], 1e3 * cuts[18], BATCH * len(batches) / sum(batches), torch.get_num_threads(), device)


def _timed(answer: Answer, texts: Sequence[str], pairs: Sequence[str] | None, start: int, size: int) -> float:
    rows = [(start + offset) % len(texts) for offset in range(size)]
    first = [texts[row] for row in rows]
    second = None if pairs is None else [pairs[row] for row in rows]
    begin = time.perf_counter()
    answer(first, second)
    return time.perf_counter() - begin
