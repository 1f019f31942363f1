"""A finished run as its report reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load

from ukd_core.errors import InputError
from ukd_core.plugins import Registry, load_registry
from ukd_core.run.lines import read_lines
from ukd_core.run.output import finished_metrics
from ukd_core.run.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from ukd_core.output_space import OutputSpace


@dataclass(frozen=True)
class FinishedRun:
    """What a run folder holds."""

    folder: Path
    recipe: Recipe
    registry: Registry
    metrics: Mapping[str, Any]
    log: Sequence[Mapping[str, Any]]
    """One object for each logged step, each step once."""
    looks: Sequence[Mapping[str, Any]]
    """The lines of layers.jsonl."""
    answers: Mapping[str, Tensor]
    """Of answers.safetensors: shapes (rows, C), labels (rows,) or (rows, C)."""

    @classmethod
    def read(cls, folder: Path) -> FinishedRun:
        """Read a run folder.

        Raises:
            InputError: the run is not complete.
        """
        metrics = finished_metrics(folder)
        if metrics is None:
            raise InputError(f"report '{folder}'", "the run is not complete", "Finish it: ukd distill --resume.")
        recipe = Recipe.read(folder / "recipe.yaml")
        log = {(line.get("number", 0), line["step"], tuple(sorted(line))): line
               for line in read_lines(folder / "log.jsonl")}
        return cls(folder, recipe, load_registry(recipe.plugins, recipe.plugin_folder), metrics, tuple(log.values()),
                   tuple(read_lines(folder / "layers.jsonl")), load((folder / "answers.safetensors").read_bytes()))

    @cached_property
    def space(self) -> OutputSpace:
        """What scores mean."""
        space = self.registry.output_spaces.lookup(self.recipe.output_space)(self.metrics["labels"])
        space.metric = self.metrics["metric"]
        return space

    @cached_property
    def phase_starts(self) -> dict[int, tuple[float, str]]:
        """By number of the phase the training step of the whole run at which it begins, and its name."""
        starts: dict[int, tuple[float, str]] = {}
        lengths: dict[int, float] = {}
        for line in self.log:
            number = line.get("number", 0)
            if number not in starts:
                starts[number] = (sum(lengths.values()), line["phase"])
            lengths[number] = max(lengths.get(number, 0.0), line["step"])
        return starts

    def step_of(self, line: Mapping[str, Any]) -> float:
        """The step of the whole run at which a line was logged."""
        begin = self.phase_starts.get(line.get("number", 0), (0.0, ""))[0]
        return float(begin + line["step"])

    def series(self, key: str) -> tuple[list[float], list[float]]:
        """Steps of the whole run and values of one logged quantity."""
        lines = [line for line in self.log if key in line]
        return [self.step_of(line) for line in lines], [float(line[key]) for line in lines]

    def scores(self, side: str, split: str) -> Tensor:
        """Scores of "teacher" or "student", or "labels": shape (rows, C), labels (rows,) or (rows, C)."""
        return self.answers[f"{split}.{side}"]
