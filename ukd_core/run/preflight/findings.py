"""What deserves a word although the run could begin: cut texts, classes without rows, nothing to score on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from ukd_core.errors import InputError
from ukd_core.run.phases import labels_only

if TYPE_CHECKING:
    from ukd_core.layer_source import LayerSource
    from ukd_core.run.plan import Plan
    from ukd_core.run.preflight.reading import Reading

MUCH = 0.05
"""Share of cut texts above which there is a warning."""


def reading_warnings(side: str, name: str, source: LayerSource, reading: Reading, max_length: int
                     ) -> Iterator[InputError]:
    """Of one model: fewer positions than the recipe asks for, many texts that are cut.

    Args:
        side: "teacher", "student" or "assistant".
        name: The model as the user wrote it.
        source: The model.
        reading: What it reads of a sample.
        max_length: Longest input in tokens, as the recipe says.
    """
    where = f"{side} '{name}'"
    positions = source.max_positions
    if positions is not None and positions < max_length and reading.longest > positions:
        yield InputError(where, f"expected positions for max_length {max_length}, got {positions}",
                         f"Longer texts are cut there; --max-length {positions} would cut them for both sides alike.")
    if reading.cut > MUCH:
        yield InputError(where, f"expected texts of at most {reading.limit} tokens, got longer ones in "
                                f"{reading.cut:.0%} of the rows (the longest of the sample has {reading.longest:,})",
                         "They are cut off; raise --max-length where the model can read more.")


def task_warnings(plan: Plan) -> Iterator[InputError]:
    """Of labels and phases: classes that no row has, single labels where several are asked for, idle phases."""
    data, where = plan.data, f"data '{plan.recipe.data}'"
    labels = data.labels("train")[data.labelled("train")]
    if len(labels):
        yield from _label_warnings(plan, labels, where)
    else:
        for phase in plan.phases:
            if labels_only(phase, plan.registry):
                yield InputError(f"phase '{phase.name}'", "expected labelled training rows, got none",
                                 "It is left out, its steps go to the other phases.")
    if not any(data.labelled(split).any() for split in data.splits if split != "train"):
        yield InputError(where, "expected labelled validation or test rows, got none",
                         "The last checkpoint is taken, and nothing is scored.")


def _label_warnings(plan: Plan, labels: torch.Tensor, where: str) -> Iterator[InputError]:
    space = plan.data.space
    if space.problem_type == "regression":
        return
    several = labels.ndim == 2
    counts = labels.sum(dim=0) if several else torch.bincount(labels, minlength=space.size)
    without = [name for name, count in zip(space.labels, counts.tolist(), strict=True) if count == 0]
    if without:
        yield InputError(where, f"expected training rows of every label, got none of {', '.join(without[:10])}"
                                f"{' and others' if len(without) > 10 else ''}",
                         "Only the teacher's scores can teach it.")
    if several and bool((labels.sum(dim=1) == 1).all()):
        yield InputError(where, "expected rows with several labels or none for output space 'multilabel', got exactly "
                                "one label in every row", "Use --output-space classes if a text has one label.")
