"""What a model would score that has learned nothing but which answer pays: the same one for every row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ukd_core.run.quick_metrics import metric_of

if TYPE_CHECKING:
    from ukd_core.output_space import OutputSpace


@dataclass(frozen=True, slots=True)
class Constant:
    """The best of them."""

    answer: str
    """A label."""
    score: float
    """In the metric of the space."""
    predictions: np.ndarray
    """Its answers, shape (rows,)."""


def best_constant(space: OutputSpace, labels: np.ndarray) -> Constant | None:
    """The class that scores most where it is the answer to every row.

    Of classes that score the same it is the first. None where an answer is not one class, where all rows are of one
    class, and where the metric has no value for such answers.

    Args:
        space: Its `metric` is used.
        labels: Of labelled rows, shape (rows,).
    """
    if space.problem_type != "single_label_classification" or (labels == labels[0]).all():
        return None
    metric = metric_of(space)
    scores = np.array([metric(np.full_like(labels, index), labels) for index in range(space.size)])
    if not np.isfinite(scores).any():
        return None
    best = int(np.argmax(np.where(np.isfinite(scores), scores, -np.inf)))
    return Constant(space.labels[best], float(scores[best]), np.full_like(labels, best))
