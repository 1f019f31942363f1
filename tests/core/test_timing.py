"""The median of several runs, as ``ukd check`` times a step or a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from ukd_core.run.preflight import timing


@pytest.fixture
def lasting(monkeypatch: pytest.MonkeyPatch) -> Callable[[Iterator[float]], Callable[[], None]]:
    """What is run, given how many seconds each run takes on a clock of its own."""
    now = [0.0]
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def made(seconds: Iterator[float]) -> Callable[[], None]:
        def run() -> None:
            now[0] += next(seconds)

        return run

    return made


def test_short_runs_are_many_and_one_slow_one_does_not_count(lasting):
    seconds = iter([0.01, 0.02, 0.4, 0.03, 0.01, 0.02])
    assert timing.typical_seconds(lasting(seconds), 6) == pytest.approx(0.02)
    assert next(seconds, None) is None


def test_runs_end_when_together_they_took_long_enough(lasting):
    seconds = iter([0.2, 0.25, 0.3, 0.1])
    assert timing.typical_seconds(lasting(seconds), 20) == pytest.approx(0.25)
    assert next(seconds) == 0.1


def test_a_long_run_is_made_once(lasting):
    seconds = iter([7.0, 5.0])
    assert timing.typical_seconds(lasting(seconds), 20) == pytest.approx(7.0)
    assert next(seconds) == 5.0


def test_one_run(lasting):
    assert timing.seconds_of(lasting(iter([0.125]))) == 0.125
