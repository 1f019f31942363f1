"""A finished run as its folder holds it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load

from ukd_core.errors import InputError, UnknownNameError
from ukd_core.formats import RUN
from ukd_core.plugins import load_registry
from ukd_core.run.recipe import Recipe
from ukd_core.run.verdict.read_metrics import read_metrics
from ukd_core.spec import shown

if TYPE_CHECKING:
    from torch import Tensor

    from ukd_core.output_space import OutputSpace
    from ukd_core.plugins import Registry

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
    registry: Registry
    """What plug-ins offer, of those that are installed or were asked for."""

    @classmethod
    def read(cls, folder: str | Path, registry: Registry | None = None) -> StoredRun:
        """Read a run folder. It may come from anybody: plug-ins that its recipe names are not loaded.

        Args:
            folder: As `ukd distill` left it.
            registry: Output spaces and methods; None for those that are installed.

        Raises:
            InputError: it holds no finished run, or one of another version.
            UnknownNameError: its output space is that of a plug-in that is not there.
        """
        place = Path(folder)
        if not is_finished(place):
            raise InputError(f"run '{folder}'", "expected a finished run (recipe.yaml, metrics.json and "
                                                f"{ANSWERS}), got a folder without", "Name the --output of a run.")
        recipe = Recipe.read(place / "recipe.yaml")
        metrics = read_metrics(place)
        registry = registry or load_registry()
        space = _space_type(recipe, registry)(tuple(metrics["labels"]))
        space.metric = metrics["metric"]
        return cls(place, recipe, metrics, _answers(place, metrics), space, registry)

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


def _space_type(recipe: Recipe, registry: Registry) -> type[OutputSpace]:
    try:
        return registry.output_spaces.lookup(recipe.output_space)
    except UnknownNameError as error:
        code = shlex.join(recipe.code_options())
        raise UnknownNameError(error.where, error.problem, f"The run had {code}: if you trust that code, add it."
                               if code else error.remedy) from error


def _answers(folder: Path, metrics: Mapping[str, Any]) -> dict[str, Tensor]:
    """The scores, of each split those of both sides and the labels of as many rows."""
    where = f"run '{folder}'"
    try:
        found = load((folder / ANSWERS).read_bytes())
    except (SafetensorError, ValueError) as error:
        raise InputError(where, f"expected a readable {ANSWERS}, got: {str(error)[:200]}", RUN.remedy) from error
    size = len(metrics["labels"])
    for name, tensor in found.items():
        split, _, side = name.rpartition(".")
        labels = found.get(f"{split}.labels")
        if labels is None or len(tensor) != len(labels) or (side != "labels" and tensor.shape[1:] != (size,)):
            raise InputError(where, f"expected scores of {size} labels beside the labels of each row in {ANSWERS}, got "
                             f"{shown(name)} of shape {tuple(tensor.shape)}", RUN.remedy)
    return found
