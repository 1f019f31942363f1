"""Errors that a user can cause and can mend; every one is a single line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
Result = TypeVar("Result")


class UKDError(Exception):
    """A problem in what the user gave: input, options, files or plug-ins.

    The text is one line, ``<where>: <problem>. <remedy>``; the command line prints it and exits with status 2.

    Args:
        where: What is at fault, as the user named it (``data 'train.csv'``, ``projector 'attention'``).
        problem: What was expected and what was found; no full stop at the end.
        remedy: What to do next, a sentence of its own; may be empty.
    """

    exit_status = 2

    def __init__(self, where: str, problem: str, remedy: str = "") -> None:
        self.where = where
        self.problem = problem
        self.remedy = remedy
        self.others: tuple[UKDError, ...] = ()
        """What was found wrong at the same time; each is a line of its own."""
        text = f"{where}: {problem}." + (f" {remedy}" if remedy else "")
        super().__init__(" ".join(text.split()))

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[type[UKDError], tuple[str, str, str]]:
        return type(self), (self.where, self.problem, self.remedy)


class InputError(UKDError, ValueError):
    """A recipe, an option, a data file or a model folder is not what was expected."""


class ShapeError(UKDError, ValueError):
    """A tensor does not have the axes that a contract states."""


class ParityError(UKDError):
    """An exported model does not answer as the one that it was made from; the command line exits with status 1."""

    exit_status = 1


class StoppedError(UKDError):
    """A run was stopped by the user or the machine; the command line exits as shells have it for the signal."""

    exit_status = 130


class PluginError(UKDError):
    """A plug-in is broken; `where` names it with its distribution and version."""


class PluginLoadError(PluginError):
    """A plug-in could not be imported, or what it registers is not usable."""


class DuplicateNameError(PluginError):
    """Two plug-ins offer different things under one name."""


class UnknownNameError(UKDError, LookupError):
    """A name that no plug-in registers; the text offers the nearest ones."""


MACHINE = (
    (("can't allocate memory", "not enough memory", "out of memory"),
     "memory: expected room for what is computed, got none. Lower --batch-size or --max-length and start anew, or free "
     "memory and go on with --resume."),
    (("gloo/transport", "Connection closed by peer", "NCCL error", "ncclRemoteError"),
     "processes: expected all that share the run, got one less. What that one said, or the system's log, tells why; go "
     "on with --resume."))
"""Pieces of what torch says, in errors of several kinds, when the machine fails, and what that means."""


def of_the_machine(error: BaseException) -> str | None:
    """A line on an error that is the machine's: no memory left, or a process of the run that is gone; else None."""
    if isinstance(error, MemoryError):
        return MACHINE[0][1]
    return next((line for pieces, line in MACHINE if isinstance(error, RuntimeError)
                 and any(piece in str(error) for piece in pieces)), None)


class Problems:
    """Problems that a user can cause, gathered so that all of them are told at once."""

    def __init__(self) -> None:
        self.found: list[UKDError] = []

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Within the block a problem is noted instead of raised; the rest of the block is left out."""
        try:
            yield
        except UKDError as error:
            self.found += [error, *error.others]

    def attempt(self, step: Callable[P, Result], *args: P.args, **options: P.kwargs) -> Result | None:
        """What a step gives; None where it fails, which is noted."""
        with self.gathered():
            return step(*args, **options)
        return None

    def tell(self) -> None:
        """Raise the first problem, with the `others` beside it; nothing where there is none."""
        if self.found:
            first, *others = self.found
            first.others = tuple(others)
            raise first
