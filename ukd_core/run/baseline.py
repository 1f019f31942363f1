"""What a run is compared with: the same student, the same steps, the same seed, and labels alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ukd_core.errors import InputError
from ukd_core.run.recipe import Recipe

if TYPE_CHECKING:
    from ukd_core.run.data import TaskData

METHOD = "none"
FOLDER = "baseline"
"""Within the folder of the run that it is for."""
NOT_FOR_LABELS = {"phases": None, "projector": None, "temperature": None, "assistants": (), "assistant_use": "chain"}
"""Keys of a recipe that only distillation reads, and their defaults."""
OPTION = "option 'with_baseline'"


def baseline_recipe(recipe: Recipe) -> Recipe:
    """The recipe of a run's baseline, whose folder lies within the run's."""
    return recipe.model_copy(update={**NOT_FOR_LABELS, "method": METHOD, "output": str(Path(recipe.output) / FOLDER)})


def check_distils(recipe: Recipe) -> None:
    """Refuse a baseline for what is one; called before anything is read.

    Raises:
        InputError: the run learns from labels alone.
    """
    if recipe.method == METHOD and recipe.phases is None:
        raise InputError(OPTION, "expected a method that distils, got 'none', which is the baseline itself",
                         "Leave the option out, or choose a method.")


def check_labels(data: TaskData) -> None:
    """Refuse a baseline that has nothing to learn from; called before the run that it is for.

    Raises:
        InputError: no training row has a label.
    """
    if not data.labelled("train").any():
        raise InputError(OPTION, "expected labelled training rows, got none",
                         "Leave the option out: without labels there is nothing to compare with.")
