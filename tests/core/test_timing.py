"""The median of several runs, as ``ukd check`` times a step or a batch."""

from __future__ import annotations

import time

import pytest

from ukd_core.run.preflight.timing import ENOUGH_SECONDS, seconds_of, typical_seconds


def test_short_runs_are_many_and_one_slow_one_does_not_count():
    pauses = [0.0, 0.0, 0.05, 0.0, 0.0, 0.0]
    left = iter(pauses)
    assert typical_seconds(lambda: time.sleep(next(left)), len(pauses)) < 0.04
    assert next(left, None) is None


def test_a_long_run_is_made_once():
    made: list[float] = []

    def run() -> None:
        made.append(time.perf_counter())
        time.sleep(ENOUGH_SECONDS)

    assert typical_seconds(run, 20) == pytest.approx(ENOUGH_SECONDS, rel=0.5)
    assert len(made) == 1


def test_one_run():
    assert 0.02 <= seconds_of(lambda: time.sleep(0.02)) < 2.0
