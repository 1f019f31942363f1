"""What a model would score that has learned nothing but which answer pays: the same one for every row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ukd_core.run.quick_metrics import own_metric, quick_metric

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
    """The class that scores most where it is the answer to every row; None where an answer is not one class.

    Of classes that score the same it is the first.

    Args:
        space: Its `metric` is used.
        labels: Of labelled rows, shape (rows,).
    """
    if space.problem_type != "single_label_classification":
        return None
    answers = [np.full_like(labels, index) for index in range(space.size)]
    metric = quick_metric(space, answers[0], labels) or own_metric(space)
    best = int(np.argmax([metric(answer, labels) for answer in answers]))
    return Constant(space.labels[best], own_metric(space)(answers[best], labels), answers[best])
