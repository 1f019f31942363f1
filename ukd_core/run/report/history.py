"""How a run went, as its logs have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ukd_core.run.lines import read_lines


@dataclass(frozen=True)
class History:
    """The logs of a run, with steps counted over all phases."""

    log: Sequence[Mapping[str, Any]]
    """What was logged of losses and metrics, a line once."""
    looks: Sequence[Mapping[str, Any]]
    """What the layers showed; see `ukd_core.run.looks`."""

    @classmethod
    def read(cls, folder: Path) -> History:
        """From ``log.jsonl`` and ``layers.jsonl`` of a run folder; empty where they are not there."""
        once = {(line.get("number", 0), line["step"], *sorted(line)): line for line in read_lines(folder / "log.jsonl")}
        return cls(tuple(once.values()), tuple(read_lines(folder / "layers.jsonl")))

    @cached_property
    def phases(self) -> dict[int, tuple[float, str]]:
        """By its number the step of the run at which a phase begins, and its name."""
        found: dict[int, tuple[float, str]] = {}
        last: dict[int, float] = {}
        for line in self.log:
            number = line.get("number", 0)
            found.setdefault(number, (sum(last.values()), line["phase"]))
            last[number] = max(last.get(number, 0.0), line["step"])
        return found

    def step(self, line: Mapping[str, Any]) -> float:
        """The step of the run at which a line was written."""
        return float(self.phases.get(line.get("number", 0), (0.0, ""))[0] + line["step"])

    def series(self, key: str) -> tuple[list[float], list[float]]:
        """Steps and values of one quantity."""
        lines = [line for line in self.log if key in line]
        return [self.step(line) for line in lines], [float(line[key]) for line in lines]

    def losses(self) -> list[str]:
        """Keys of the losses, the sum first, then terms in the order in which they come up."""
        return list(dict.fromkeys(key for line in self.log for key in line if key == "loss" or key.startswith("loss/")))

    def terms(self) -> dict[str, list[Mapping[str, Any]]]:
        """The looks at each term, in order."""
        found: dict[str, list[Mapping[str, Any]]] = {}
        for line in self.looks:
            found.setdefault(line["term"], []).append(line)
        return found
