"""The cases of a soak at work: what is started, stopped, damaged and started again. Not a script."""

from __future__ import annotations

import json
import random
import shutil
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import forked
from forked import Child, finished
from soak_cases import Case, Theme, draw_case, draw_themes
from soak_checks import check_cache, check_run, same_weights

LIMIT = 180.0
"""Seconds in which anything has to end; it takes two."""
SIGNALS = {"kill -9": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
MOST_STOPS = 3
Ended = Generator[str, None, Child]
"""Problems, and in the end the last process."""


class Trouble(Exception):
    """A problem after which the rest of a case would say nothing."""


class Chapter:
    """Cases with one cache, on disk.

    Args:
        seed: Of the soak.
        number: Of the chapter.
        folder: Of the soak.
    """

    def __init__(self, seed: int, number: int, folder: Path) -> None:
        self.seed = seed
        self.place = folder / f"chapter-{number}"
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(parents=True)
        self.cache = self.place / "cache"
        self.methods = _methods()
        self.themes = draw_themes(seed, number, self.place, self._stored)
        self.usual = 2.0
        """Seconds that a run takes, about."""

    def case(self, number: int) -> Trial:
        """What is tried, ready to be done."""
        return Trial(draw_case(self.seed, number, self.themes, self.methods), self)

    def _stored(self, theme: Theme, folder: Path) -> str | None:
        """A classifier for the task; None where its data cannot serve."""
        child = forked.ukd(folder / "logs", "distill", f"--teacher={theme.teacher}", f"--student={theme.teacher}",
                           f"--data={theme.data}", "--method=none", f"--output-space={theme.space}", "--no-speed",
                           f"--output={folder / 'run'}", f"--cache={self.cache}", "--device=cpu", "--epochs=1",
                           *(f"--{key}={value}" for key, value in theme.options.items()))
        finished([child], LIMIT)
        return str(folder / "run") if child.status == 0 else None


class Trial:
    """One case: the runs of it, in a folder of its own.

    Args:
        case: What is tried.
        chapter: Where.
    """

    def __init__(self, case: Case, chapter: Chapter) -> None:
        self.case = case
        self.chapter = chapter
        self.place = chapter.place / f"case-{case.number}"
        self.place.mkdir()
        self.started = 0
        self.commands: list[str] = []
        self.outcome = "finished"

    def problems(self) -> Iterator[str]:
        """Do everything; yields what went wrong."""
        try:
            how = self.case.disturbance
            if how == "damaged entry":
                yield from self._damaged()
            elif how.startswith("two at once"):
                yield from self._together(kill=how.endswith("killed"))
            else:
                yield from self._alone(how)
        except Trouble as trouble:
            yield str(trouble)

    def _alone(self, how: str) -> Iterator[str]:
        cache, run = self.chapter.cache, self.place / "run"
        before = _entries(cache)
        child = yield from self._stopped(how, run, cache) if how in SIGNALS else self._whole(run, cache)
        if child.status == 2:
            yield from self._refused(child, run, cache)
            return
        made = len(_entries(cache) - before)
        rows = _rows(run) * made
        yield from self._checked(run, cache, (rows if len(self.commands) == 1 else 0, rows))
        yield from self._afterwards(run, cache)
        if self.case.twin:
            yield from self._twin(run)

    def _whole(self, run: Path, cache: Path) -> Ended:
        """A run that nobody disturbs."""
        child = self._start(run, cache)
        yield from self._ended(child)
        return child

    def _stopped(self, how: str, run: Path, cache: Path) -> Ended:
        """A run that is stopped and started again."""
        draw, stops, span = self.case.moments, 0, 1.2 * self.chapter.usual
        for _ in range(draw.randint(1, MOST_STOPS) + 2):
            child = self._start(run, cache)
            if child.wait(0.1 + span * draw.random() ** 2):
                if stops or child.status != 0:
                    break
                shutil.rmtree(run)  # it was too fast: another one, that is stopped sooner
                span /= 2
                continue
            child.send(SIGNALS[how])
            stops += 1
            yield from finished([child], LIMIT)
            if child.status in (0, 2):
                break
            if "Traceback" in child.err or child.status not in (-SIGNALS[how], 128 + SIGNALS[how]):
                yield f"{how} ended with status {child.status}: {_last(child.err)}"
        if child.status not in (0, 2) or not run.is_dir():
            child = self._start(run, cache)
        yield from self._ended(child)
        return child

    def _ended(self, child: Child) -> Iterator[str]:
        """Wait; refuse to go on with what neither is done nor says in a line why not."""
        yield from finished([child], LIMIT)
        if child.status == 0:
            self.chapter.usual = 0.8 * self.chapter.usual + 0.2 * child.seconds
        if child.status not in (0, 2) or "Traceback" in child.err:
            raise Trouble(f"status {child.status}: {_last(child.err)}")
        if "Warning" in child.err:
            yield f"a warning of a library: {next(line for line in child.err.splitlines() if 'Warning' in line)}"

    def _refused(self, child: Child, run: Path, cache: Path) -> Iterator[str]:
        """What cannot serve is said in lines, by ``ukd check`` too, and leaves no run."""
        self.outcome = "refused"
        told = [line for line in child.err.splitlines() if line.startswith("ukd: ")]
        if not told:
            yield f"status 2 without a line: {_last(child.err)}"
        if run.exists():
            yield f"refused when the run had begun: {told[:1]}"
        asked = forked.ukd(self.place / "logs-check", "check", *self.case.arguments(), f"--cache={cache}")
        yield from finished([asked], LIMIT)
        lines = asked.err.splitlines()
        alike = asked.status == 2 and told[:1] == [line for line in lines if line.startswith("ukd: ")][:1]
        if not self.case.baseline and not alike:
            yield f"ukd distill says {told[:1]}, ukd check (status {asked.status}) {lines[-1:]}"

    def _damaged(self) -> Iterator[str]:
        """A run of which an entry is damaged afterwards; the next one refuses it, and builds it anew if told to."""
        cache, first, second = (self.place / name for name in ("cache", "run", "second"))
        child = self._start(first, cache)
        yield from self._ended(child)
        if child.status == 2:
            yield from self._refused(child, first, cache)
            return
        entry = self.case.moments.choice(sorted(_folders(cache)))
        path = _flip(self.case.moments, entry)
        child = self._start(second, cache)
        yield from self._ended(child)
        if child.status != 2 or entry.name not in child.err:
            raise Trouble(f"a flipped byte in {path} was not refused (status {child.status}): {_last(child.err)}")
        if second.exists():
            yield "a damaged entry left a run behind"
        child = self._start(second, cache, "--rebuild-damaged=true")
        yield from self._ended(child)
        if child.status:
            raise Trouble(f"--rebuild-damaged ended with status {child.status}: {_last(child.err)}")
        rows = _rows(second)
        yield from self._checked(second, cache, (0, rows) if _is_mixture(entry) else (rows, rows))
        yield from self._in_fork("same", lambda: same_weights(second, first))

    def _together(self, *, kill: bool) -> Iterator[str]:
        """Two runs on one empty cache at the same time, one of which may be killed and started again."""
        cache, runs = self.place / "cache", [self.place / "run", self.place / "second"]
        seeds = [[], ["--seed=5"]]
        children = [self._start(run, cache, *more) for run, more in zip(runs, seeds, strict=True)]
        if kill and not children[0].wait(self.case.moments.random() * self.chapter.usual * 2):
            children[0].send(signal.SIGKILL)
            yield from self._ended(children[1])
            children[0].wait(LIMIT)
            children[0] = self._start(runs[0], cache)
        for child in children:
            yield from self._ended(child)
        if [child.status for child in children] == [2, 2]:
            yield from self._refused(children[0], runs[0], cache)
            return
        if any(child.status for child in children):
            raise Trouble(f"of two runs one was refused: {[_last(child.err) for child in children]}")
        made = len(_entries(cache)) * _rows(runs[0])
        counted = sum(_metrics(run)["teacher_rows_forwarded"] for run in runs)
        if counted > made or (counted < made and not kill):
            yield f"two runs forwarded {counted} rows together, expected {made}"
        for run in runs:
            yield from self._checked(run, cache, None)

    def _twin(self, run: Path) -> Iterator[str]:
        """The same recipe again, undisturbed, on a cache of its own: the same bytes."""
        other, cache = self.place / "twin", self.place / "twin-cache"
        arguments = self._arguments(other, cache)
        child = forked.ukd(self._logs(), *arguments) if self.case.twin == "fork" else forked.started(
            self._logs(), [sys.executable, "-m", "ukd_core.cli", *arguments])
        yield from self._ended(child)
        if child.status:
            raise Trouble(f"the twin of a finished run ended with status {child.status}: {_last(child.err)}")
        yield from self._in_fork("same", lambda: same_weights(run, other))

    def _checked(self, run: Path, cache: Path, forwarded: tuple[int, int] | None) -> Iterator[str]:
        def check() -> Iterator[str]:
            yield from check_run(run, forwarded)
            if (run / "baseline").is_dir():
                yield from (f"baseline: {problem}" for problem in check_run(run / "baseline", (0, 0)))
            yield from check_cache(cache)

        yield from self._in_fork("check", check)
        known = {"run", "second", "cache", "twin", "twin-cache"}
        yield from (f"beside the run: {path.name}" for path in self.place.iterdir()
                    if path.name not in known and not path.name.startswith("logs-"))

    def _afterwards(self, run: Path, cache: Path) -> Iterator[str]:
        """Some of what a user does with a finished run."""
        commands = {"report": ["report", str(run)], "onnx": ["export", str(run), "--format=onnx", f"--cache={cache}"],
                    "eval": ["eval", str(run), f"--data={self.case.theme.data}", f"--cache={cache}"]}
        for what in self.case.afterwards:
            child = forked.ukd(self._logs(), *commands[what])
            yield from self._ended(child)
            if child.status and "has a label" not in child.err:
                yield f"ukd {what} ended with status {child.status}: {_last(child.err)}"

    def _in_fork(self, name: str, check: Callable[[], Iterator[str]]) -> Iterator[str]:
        """The problems that a check finds, in a process of its own."""
        def task() -> int:
            print(json.dumps(list(check())))
            return 0

        child = forked.forked(task, self.place / f"logs-{name}", name)
        yield from finished([child], LIMIT)
        if child.status:
            raise Trouble(f"the check '{name}' ended with status {child.status}: {_last(child.err)}")
        yield from json.loads(child.out.splitlines()[-1])

    def _start(self, run: Path, cache: Path, *more: str) -> Child:
        child = forked.ukd(self._logs(), *self._arguments(run, cache), *more)
        self.commands.append(child.command)
        return child

    def _arguments(self, run: Path, cache: Path) -> list[str]:
        resumed = ["--resume"] if (run / "recipe.yaml").is_file() else []
        baseline = ["--with-baseline"] if self.case.baseline else []
        return ["distill", *self.case.arguments(), f"--output={run}", f"--cache={cache}", "--no-speed", *baseline,
                *resumed]

    def _logs(self) -> Path:
        self.started += 1
        return self.place / f"logs-{self.started}"


def _methods() -> tuple[str, ...]:
    from ukd_core.plugins import load_registry
    from ukd_core.run.combination import SUFFIX, hosts
    registry = load_registry()
    return (*registry.methods, *(name + SUFFIX for name in hosts(registry)))


def _folders(cache: Path) -> list[Path]:
    """The entries of teacher answers."""
    root = cache / "answers"
    return [path for path in root.iterdir() if path.is_dir() and path.suffix != ".work" and path.name[0] != "."
            ] if root.is_dir() else []


def _is_mixture(entry: Path) -> bool:
    """No teacher ran for it."""
    return "mixture" in json.loads((entry / "manifest.json").read_text(encoding="utf-8"))["facts"]


def _entries(cache: Path) -> set[str]:
    return {path.name for path in _folders(cache) if not _is_mixture(path)}


def _metrics(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return found


def _rows(run: Path) -> int:
    return int(sum(_metrics(run)["rows"].values()))


def _flip(draw: random.Random, entry: Path) -> Path:
    """Change one byte of a file of an entry."""
    path = draw.choice(sorted(entry.iterdir()))
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
    return path


def _last(text: str) -> str:
    return " / ".join(text.strip().splitlines()[-2:])[-400:]
