"""Ctrl-C, SIGTERM and a lost terminal: a command ends in order, and a run says what is kept and how to go on."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from ukd_core.errors import InputError, StoppedError

STOPS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
TOGETHER = 1.0
"""Seconds within which several signals are one."""
RETRY = 0.05
"""Seconds after which what Python swallowed is raised anew."""
GRACE = 60.0
"""Seconds that a command has to end in order."""


@contextmanager
def stops_caught() -> Iterator[list[int]]:
    """Within the block a signal that asks for an end raises `KeyboardInterrupt`; yields the signals so far.

    A shell and a launcher may both send one: the second within moments changes nothing. Python swallows what is raised
    while it collects garbage: then it is raised anew in a moment. Some library may swallow it too: then the process
    ends without order, as if it were killed, which a run survives. What the parent process has set to be ignored
    (``nohup``) stays ignored.
    """
    caught: list[int] = []
    last = [-TOGETHER]
    end = threading.Timer(GRACE, lambda: os._exit(128 + caught[0]))
    end.daemon = True

    def stop(number: int, _: FrameType | None) -> None:
        caught.append(number)
        before, last[0] = last[0], time.perf_counter()
        if len(caught) == 1:
            end.start()
        if last[0] - before > TOGETHER:
            raise KeyboardInterrupt

    def swallowed(lost: sys.UnraisableHookArgs) -> None:
        if not (caught and issubclass(lost.exc_type, KeyboardInterrupt)):
            tell(lost)
            return
        last[0] = -TOGETHER
        retries.append(threading.Timer(RETRY, signal.raise_signal, caught[:1]))
        retries[-1].daemon = True
        retries[-1].start()

    retries: list[threading.Timer] = []
    tell, sys.unraisablehook = sys.unraisablehook, swallowed
    before = {number: signal.getsignal(number) for number in STOPS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield caught
    finally:
        for timer in (end, *retries):
            timer.cancel()
        sys.unraisablehook = tell
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stops_kept() -> Iterator[None]:
    """Within the block a stop stays one, whatever fails while it unwinds: a file that is closed twice, for one."""
    try:
        yield
    except StoppedError:
        raise
    except Exception as error:
        before: BaseException | None = error
        while before is not None and not isinstance(before, KeyboardInterrupt):
            before = before.__context__
        if before is None:
            raise
        raise KeyboardInterrupt from error


@contextmanager
def resumable(output: str, resume: bool) -> Iterator[None]:
    """Within the block, which does a run, a stop and a failing disk say what is kept and how to go on.

    Args:
        output: Folder of the run.
        resume: The run was there before and is continued.

    Raises:
        StoppedError: the run was stopped.
        InputError: a file of a run that was begun could not be read or written.
    """
    folder = Path(output)
    before = _mark(folder)

    def begun() -> bool:
        return resume or _mark(folder) not in (None, before)

    try:
        with stops_kept():
            yield
    except KeyboardInterrupt as stop:
        from ukd_core.run.kept import kept_of
        raise StoppedError(
            f"run '{output}'", f"stopped; {kept_of(folder)}" if begun() else
            "stopped before it had a folder; what the teacher learned and answered is kept in the cache",
            f"Go on with: {again(sys.argv[1:], resume=begun())}") from stop
    except OSError as error:
        if error.filename is None or not begun():
            raise
        raise InputError(str(error.filename), error.strerror or str(error),
                         f"When that is mended, go on with: {again(sys.argv[1:], resume=True)}") from error


@contextmanager
def resumable_comparison(output: str) -> Iterator[None]:
    """Within the block, which does a comparison, a stop becomes the line that says how to go on.

    Raises:
        StoppedError: the comparison was stopped.
    """
    try:
        with stops_kept():
            yield
    except KeyboardInterrupt as stop:
        complete = sum(1 for _ in Path(output).glob("runs/*/*/*/metrics.json"))
        raise StoppedError(f"comparison '{output}'", f"stopped; runs that are complete: {complete}",
                           f"Go on with: {again(sys.argv[1:], resume=False)}") from stop


def again(arguments: list[str], *, resume: bool) -> str:
    """The command line that goes on where this one was stopped.

    Args:
        arguments: Of this one.
        resume: There is a run folder to go on with.
    """
    kept = [each for each in arguments if not (resume and each in ("--overwrite", "--resume"))]
    return shlex.join(["ukd", *kept, *(["--resume"] if resume else [])])


def _mark(folder: Path) -> tuple[int, int] | None:
    """Tells a recipe from another that took its place; None where there is none."""
    try:
        found = (folder / "recipe.yaml").stat()
    except OSError:
        return None
    return found.st_ino, found.st_ctime_ns
