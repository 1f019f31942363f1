"""Logs: files of one JSON object a line, which a run appends to and a resumed run cuts where it goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ukd_core.run.files import write_text, writing


def append_line(path: Path, values: Mapping[str, Any]) -> None:
    """Add one line."""
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(values) + "\n")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a log, in order; none where there is no file. What a kill left half-written is passed over."""
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(values, dict):
            yield values


def cut(path: Path, keep: Callable[[Mapping[str, Any]], bool]) -> None:
    """Drop lines, so that a run that goes on from a checkpoint does not write them twice."""
    if path.is_file():
        kept = [values for values in read_lines(path) if keep(values)]
        write_text(path, "".join(json.dumps(values) + "\n" for values in kept))
