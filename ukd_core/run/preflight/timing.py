"""How long something takes that is run again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

ENOUGH_SECONDS = 0.5
"""Runs that take so long together say enough."""


def seconds_of(run: Callable[[], object]) -> float:
    """Seconds of one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def typical_seconds(run: Callable[[], object], most: int) -> float:
    """Median seconds of several runs: one alone says little where it is short.

    Args:
        run: Has run before, so that kernels and memory pools are made.
        most: Runs at most; fewer where they are long.
    """
    taken = [seconds_of(run)]
    while len(taken) < most and sum(taken) < ENOUGH_SECONDS:
        taken.append(seconds_of(run))
    return median(taken)
