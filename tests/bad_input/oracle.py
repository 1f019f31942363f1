"""How a command must end, whatever it is given: a right result, or one clear line with exit status 2."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import IO

import torch
from worlds import World

from ukd_core.cli import main

LIMIT = 20.0
"""Seconds of the processor that a command may take; of waiting, for which others may be the reason, `PATIENCE` times
more."""
PATIENCE = 6
FOLDER, FIFO, LOOP, NOT_READABLE = "a folder", "a fifo that nobody writes to", "a link to itself", "mode 000"
"""What a file of a case may be instead of bytes."""
ALLOWED = {("plugins", "check"): {1}, ("cache", "verify"): {1}, ("export",): {1}}
"""Further exit statuses of some commands: what they checked is not as it should be."""
NOISE = re.compile(r"Traceback|\w+Warning: |site-packages|^\w+Error: ")
"""What only a library or Python itself says."""
DIVERGED = re.compile("expected (a finite loss|finite numbers), got")
"""A run that may be resumed with what it has kept."""
MOST_LETTERS = 2020
"""Of a line that says what is wrong: a longer one hides it."""


@dataclass(frozen=True)
class Case:
    """A command with the files that lie where it is started."""

    kind: str
    arguments: tuple[str, ...]
    """``{world}`` stands for the folder of what all cases share; paths are relative to the folder of the case."""
    files: tuple[tuple[str, bytes | str], ...] = ()
    """By name the content, or `FOLDER`, `FIFO`, `LOOP`."""


@dataclass
class Ending:
    """How a command ended."""

    status: int | None = None
    out: str = ""
    err: str = ""
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)
    """What is wrong with it; none where it ended as it must."""

    @property
    def verdict(self) -> str:
        """A word for tables."""
        return "FAULT" if self.faults else "right result" if self.status == 0 else "refused"


class TooLongError(BaseException):
    """Raised in the command when its time is up; no ``except Exception`` holds it."""


def try_case(case: Case, world: World, here: Path) -> Ending:
    """Run the command of a case in this process, in its own folder, and look at what it said and left.

    Args:
        case: The command with its files.
        world: What all cases share.
        here: An empty folder.
    """
    lay_out(case, here, world.folder)
    before = set(here.rglob("*")) | set(scratch_of(world.cache))
    arguments = [argument.replace("{world}", str(world.folder)) for argument in case.arguments]
    ending = run_command(arguments, here)
    if ending.faults:
        return ending
    if ending.status == 0:
        ending.faults += not_right(arguments, ending, here)
    else:
        ending.faults += not_clear(arguments, ending)
        ending.faults += [f"left behind: {path.relative_to(here)}" for path in sorted(set(here.rglob("*")) - before)
                          if ending.status == 2 and left_of_run(path, here, ending)]
    litter = {*scratch_of(here), *scratch_of(world.cache)} - before
    ending.faults += [f"litter: {path}" for path in sorted(litter) if path.suffix != ".lock"]
    return ending


def scratch_of(folder: Path) -> Iterator[Path]:
    """What a command leaves where it stops in the middle of writing."""
    return chain(folder.rglob(".?*"), folder.rglob("*.incomplete"), folder.rglob("*.partial"))


def lay_out(case: Case, here: Path, world: Path) -> None:
    """Write the files of a case; in recipes the world has a name as in arguments."""
    for name, content in case.files:
        path = here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content.replace(b"{world}", str(world).encode()) if path.suffix == ".yaml" else content)
        elif content == FOLDER:
            path.mkdir()
        elif content == FIFO:
            os.mkfifo(path)
        elif content == LOOP:
            path.symlink_to(path.name)


def run_command(arguments: Sequence[str], here: Path) -> Ending:
    """The command line with these arguments, started in a folder, its standard input empty."""
    ending = Ending()
    start = time.perf_counter()
    with ExitStack() as stack:
        out, err = (stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", errors="strict", newline=""))
                    for _ in range(2))
        stack.enter_context(as_started(arguments, here, out, err))
        told = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("default")
        for hidden in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", hidden)  # as Python does for those who start a program
        try:
            with time_limit(LIMIT, LIMIT * PATIENCE):
                main()
        except SystemExit as stopped:
            ending.status = int(stopped.code or 0)
            if ending.status > 128:  # somebody stops us, and the command has answered the signal
                raise KeyboardInterrupt from stopped
        except TooLongError:
            ending.faults.append(f"hangs: more than {LIMIT:g} s")
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            ending.faults.append("traceback: " + "".join(traceback.format_exception(error))[-3000:])
        ending.faults += [f"warning: {each.category.__name__}: {each.message}" for each in told]
        ending.out, ending.err = read_back(out), read_back(err)
    ending.seconds = time.perf_counter() - start
    return ending


def read_back(stream: IO[str]) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


@contextmanager
def as_started(arguments: Sequence[str], here: Path, out: IO[str], err: IO[str]) -> Iterator[None]:
    """The process as a new one would find itself: arguments, folder, streams (those of C code as well), logging."""
    kept = (sys.argv, sys.stdin, sys.stdout, sys.stderr, Path.cwd(), dict(os.environ), torch.get_num_threads())
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    descriptors = [os.dup(1), os.dup(2)]
    for number, stream in ((1, out), (2, err)):
        os.dup2(stream.fileno(), number)
    empty = stack_input()
    sys.argv, sys.stdin, sys.stdout, sys.stderr = ["ukd", *arguments], empty, out, err  # type: ignore[assignment]
    os.chdir(here)
    root.handlers.clear()
    try:
        yield
    finally:
        sys.argv, sys.stdin, sys.stdout, sys.stderr = kept[:4]
        os.chdir(kept[4])
        os.environ.clear()
        os.environ.update(kept[5])
        torch.set_num_threads(kept[6])
        root.handlers[:], root.level = handlers, level
        for number, copy in zip((1, 2), descriptors, strict=True):
            os.dup2(copy, number)
            os.close(copy)
        empty.close()


def stack_input() -> TextIOWrapper:
    return TextIOWrapper(open(os.devnull, "rb"), encoding="utf-8")


@contextmanager
def time_limit(computing: float, waiting: float) -> Iterator[None]:
    """Raise `TooLongError` in the block after so many seconds of the processor, or of the clock."""
    def stop(*_: object) -> None:
        raise TooLongError

    with ExitStack() as restore:
        for number, timer, seconds in ((signal.SIGPROF, signal.ITIMER_PROF, computing),
                                       (signal.SIGALRM, signal.ITIMER_REAL, waiting)):
            restore.callback(signal.signal, number, signal.signal(number, stop))
            restore.callback(signal.setitimer, timer, 0)
            signal.setitimer(timer, seconds)
        yield


def not_clear(arguments: Sequence[str], ending: Ending) -> list[str]:
    """What is wrong with a refusal: its status, or the lines that it says."""
    more = next((statuses for words, statuses in ALLOWED.items() if tuple(arguments[: len(words)]) == words), set())
    if ending.status in more or (ending.status == 2 and not ending.err and "Usage: " in ending.out):
        return []
    if ending.status != 2:
        return [f"exit status {ending.status}: {ending.err[-500:]}"]
    lines = ending.err.splitlines()
    said = [line for line in lines if line.startswith("ukd: ")]
    faults = [f"noise: {line[:500]}" for line in lines if NOISE.search(line)]
    if not said or lines[-len(said):] != said:
        faults.append(f"no clear line at the end: {ending.err[-500:]}")
    faults += [f"a line of {len(line):,} letters: {line[:300]}" for line in said if len(line) > MOST_LETTERS]
    faults += [f"says little: {line}" for line in said if len(line.removeprefix("ukd: ").strip(" .:")) < 8]
    return faults


def left_of_run(path: Path, here: Path, ending: Ending) -> bool:
    """Whether a path lies in an output folder, which a refused command must not make; a run that diverged may go on."""
    top = path.relative_to(here).parts[0]
    return top.startswith("output") and not DIVERGED.search(ending.err)


def not_right(arguments: Sequence[str], ending: Ending, here: Path) -> list[str]:
    """What is wrong with a result: noise, nothing said, or a run folder that cannot be read."""
    faults = [f"noise: {line[:500]}" for line in ending.err.splitlines() if NOISE.search(line)]
    command = arguments[0]
    if command not in ("predict", "cache") and not ending.out.strip():
        faults.append("nothing is said")
    if command == "eval" and "--help" not in arguments:
        faults += [f"{name} is {value}" for name, value in json.loads(ending.out).items() if value != value]
    if command == "predict" and "--help" not in arguments:
        for line in filter(None, ending.out.split("\n")):  # not at U+2028, which JSON may hold
            json.loads(line)
    if command == "distill" and "--help" not in arguments:
        words = "run folder: "
        named = [line.removeprefix(words) for line in ending.out.split("\n") if line.startswith(words)]
        faults += unreadable_run(here / named[0], here) if named else ["no run folder is named"]
    return faults


def unreadable_run(run: Path, here: Path) -> list[str]:
    """What is wrong with a run folder that a command says it wrote; one with other metrics is a wrong result."""
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    (here / "texts.txt").write_text("a line of text\nunheard-of words\n", encoding="utf-8")
    answered = run_command(["predict", str(run), "texts.txt"], here)
    rows = [json.loads(line) for line in filter(None, answered.out.split("\n"))]
    faults = answered.faults
    if answered.status != 0 or len(rows) != 2:
        faults.append(f"the run cannot be read: {answered.err}")
    if any(row.get("label", metrics["labels"][0]) not in metrics["labels"] for row in rows):
        faults.append(f"answers other labels: {rows}")
    return faults
