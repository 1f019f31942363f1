"""Errors that a user can cause and can mend; every one is a single line."""

from __future__ import annotations


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


class PluginError(UKDError):
    """A plug-in is broken; `where` names it with its distribution and version."""


class PluginLoadError(PluginError):
    """A plug-in could not be imported, or what it registers is not usable."""


class DuplicateNameError(PluginError):
    """Two plug-ins offer different things under one name."""


class UnknownNameError(UKDError, LookupError):
    """A name that no plug-in registers; the text offers the nearest ones."""
