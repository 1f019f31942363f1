"""A signal that asks for an end is heard also where Python swallows what is raised."""

from __future__ import annotations

import os
import signal
import sys
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from ukd_core.commands.stopping import resumable, resumable_comparison, stops_caught, stops_kept
from ukd_core.errors import InputError, StoppedError


class Thing:
    """Something whose end can be watched."""


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal that the process does not ignore, as one does that a shell began in the background."""
    before = signal.signal(request.param, signal.default_int_handler)
    yield request.param
    signal.signal(request.param, before)


def test_a_stop_while_garbage_is_collected_is_raised_anew(number: signal.Signals, capsys: pytest.CaptureFixture[str]):
    reached, hook = [], sys.unraisablehook

    def at_the_end(_: object) -> None:
        os.kill(os.getpid(), number)
        reached.append("after the signal")  # which the handler keeps from being reached

    with pytest.raises(KeyboardInterrupt), stops_caught() as caught:
        thing = Thing()
        watched = weakref.ref(thing, at_the_end)
        del thing
        assert watched() is None and not reached
        for _ in range(1000):
            time.sleep(0.01)
        reached.append("nothing was raised")
    assert not reached and caught[0] == number
    assert sys.unraisablehook is hook
    assert "Traceback" not in capsys.readouterr().err


def test_what_else_python_swallows_is_told_as_ever(monkeypatch: pytest.MonkeyPatch):
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: told.append(lost.exc_type))

    def wrong(_: object) -> None:
        raise ValueError

    with stops_caught():
        thing = Thing()
        watched = weakref.ref(thing, wrong)
        del thing
        assert watched() is None
    assert told == [ValueError]


def closed_twice() -> None:
    """What `shutil.rmtree` does when a stop comes between the closing of a folder and the note that it is closed."""
    reading, writing = os.pipe()
    os.close(writing)
    try:
        os.close(reading)
        raise KeyboardInterrupt
    finally:
        os.close(reading)


def test_a_stop_over_which_something_fails_is_a_stop(tmp_path: Path):
    with pytest.raises(OSError, match="Bad file descriptor"):
        closed_twice()
    with pytest.raises(KeyboardInterrupt) as caught, stops_kept():
        closed_twice()
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(KeyboardInterrupt), stops_kept():
        try:
            closed_twice()
        except OSError as error:
            raise InputError("file 'a'", "expected to be closed, got an error") from error
    with pytest.raises(StoppedError, match="stopped before it had a folder"), resumable(str(tmp_path), False):
        closed_twice()
    with pytest.raises(StoppedError, match="runs that are complete: 0"), resumable_comparison(str(tmp_path)):
        closed_twice()


@pytest.mark.parametrize("error", [OSError(9, "Bad file descriptor"), StoppedError("run 'a'", "stopped")])
def test_what_fails_without_a_stop_is_raised_as_it_is(error: Exception):
    with pytest.raises(type(error)) as caught, stops_kept():
        raise error
    assert caught.value is error
