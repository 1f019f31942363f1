"""Versions of what is kept on disk: one way to write them, one way to refuse what another version wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ukd_core.errors import InputError


@dataclass(frozen=True)
class Format:
    """The layout of one kind of folder or file; its version goes up when a reader of the old one would fail."""

    what: str
    """For messages."""
    version: int
    """The one that is written, and the only one that is read."""
    remedy: str
    """How to make what an older version wrote anew."""
    unmarked: int | None = None
    """The version of those that have none, where some were written before they had one."""
    key: str = "format"

    def mark(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values as they are written, the version first."""
        return {self.key: self.version, **values}

    def check(self, where: str, values: Mapping[str, Any]) -> None:
        """See that values have the version that is read.

        Args:
            where: What is at fault, for messages.
            values: As read from disk.

        Raises:
            InputError: it is older, newer, no whole number or missing.
        """
        found = values.get(self.key, self.unmarked)
        if type(found) is int and found == self.version:
            return
        wanted = f"expected {self.what} of format {self.version}"
        if type(found) is not int:
            raise InputError(where, f"{wanted}, got {'none' if found is None else repr(found)[:40]}", self.remedy)
        if found > self.version:
            raise InputError(where, f"{wanted}, got format {found} of a newer version",
                             f"Update UKD; or: {self.remedy}")
        raise InputError(where, f"{wanted}, got format {found} of an older version", self.remedy)

    def read(self, path: Path, where: str) -> dict[str, Any]:
        """The object of a JSON file, checked.

        Raises:
            InputError: the file is missing, damaged, or of another version.
        """
        values = read_json(path, where, self.remedy)
        self.check(where, values)
        return values


def read_json(path: Path, where: str, remedy: str = "") -> dict[str, Any]:
    """The object of a JSON file, whoever wrote it.

    Args:
        path: A regular file, or a link to one.
        where: What is at fault, for messages.
        remedy: What to do.

    Raises:
        InputError: no such file, no JSON, nested too deeply, or no object.
    """
    if not path.is_file():  # to read a device or a pipe might never end
        raise InputError(where, f"expected a file {path.name}, got none", remedy)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise InputError(where, f"expected JSON in {path.name}, got values nested too deeply", remedy) from error
    except (OSError, ValueError) as error:
        raise InputError(where, f"expected JSON in {path.name}, got: {str(error)[:200]}", remedy) from error
    if not isinstance(values, dict):
        raise InputError(where, f"expected an object in {path.name}, got {type(values).__name__}", remedy)
    return values


RUN = Format("a run", 1, "Do the run again with --overwrite.")
VERDICT = Format("a verdict", 1, "Make it again with ukd verdict.")
ALTERNATIVES = Format("alternatives", 1, "Try them again: remove alternatives.json, then ukd verdict --alternatives.")
COMPARISON = Format("a comparison", 1, "Compare again into another folder.", unmarked=1)
EXPORTED = Format("an exported folder", 1, "Export it again with ukd export.")
ANSWERS = Format("teacher answers", 2, "Remove them with ukd cache remove.")
TOKENS = Format("tokens", 3, "Remove them with ukd cache remove.")
MODEL = Format("a model folder", 1, "Train or export it again.", unmarked=1, key="ukd_format")
"""In config.json of what an adapter saves; models from elsewhere have none."""
