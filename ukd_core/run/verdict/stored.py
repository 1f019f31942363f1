"""A finished run as its folder holds it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.torch import load

from ukd_core.errors import InputError
from ukd_core.plugins import load_registry
from ukd_core.run.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from ukd_core.output_space import OutputSpace

ANSWERS = "answers.safetensors"


def is_finished(folder: Path) -> bool:
    """Whether a folder holds a run that has ended, with its answers."""
    return all((folder / name).is_file() for name in ("recipe.yaml", "metrics.json", ANSWERS))


@dataclass(frozen=True)
class StoredRun:
    """What a verdict is made from."""

    folder: Path
    recipe: Recipe
    metrics: Mapping[str, Any]
    answers: Mapping[str, Tensor]
    """``SPLIT.student``, ``SPLIT.teacher``: (rows, C), floating; ``SPLIT.labels``: (rows,) or (rows, C)."""
    space: OutputSpace

    @classmethod
    def read(cls, folder: str | Path) -> StoredRun:
        """Read a run folder.

        Raises:
            InputError: it holds no finished run.
        """
        place = Path(folder)
        if not is_finished(place):
            raise InputError(f"run '{folder}'", "expected a finished run (recipe.yaml, metrics.json and "
                                                f"{ANSWERS}), got a folder without", "Name the --output of a run.")
        recipe = Recipe.read(place / "recipe.yaml")
        metrics = json.loads((place / "metrics.json").read_text(encoding="utf-8"))
        registry = load_registry(recipe.plugins, recipe.plugin_folder)
        space = registry.output_spaces.lookup(recipe.output_space)(metrics["labels"])
        space.metric = metrics["metric"]
        return cls(place, recipe, metrics, load((place / ANSWERS).read_bytes()), space)

    @cached_property
    def split(self) -> str | None:
        """The split that a verdict is about: the first of test and validation with labelled rows, else the first there.

        Test rows come first: no checkpoint was picked by them.
        """
        there = [name for name in ("test", "validation") if f"{name}.labels" in self.answers]
        return next((name for name in there if self.labelled(name).any()), there[0] if there else None)

    def labelled(self, split: str) -> np.ndarray:
        """Which rows of a split have a label: shape (rows,), bool."""
        return self.space.is_labelled(self.answers[f"{split}.labels"]).numpy()

    def labels(self, split: str) -> np.ndarray:
        """Encoded labels of a split: shape (rows,) or (rows, C)."""
        return self.answers[f"{split}.labels"].numpy()

    def predictions(self, logits: Tensor) -> np.ndarray:
        """What scores of shape (rows, C) answer: shape (rows,) or (rows, C)."""
        return self.space.predictions(logits).numpy()
