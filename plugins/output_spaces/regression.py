"""The space of one number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

from torch import Tensor

from ukd_core import OutputSpace, at_least_float32

if TYPE_CHECKING:
    import numpy as np


@final
class RegressionSpace(OutputSpace):
    """One number for each unit: C = 1, the score is the answer.

    Divergence and loss are squared differences, in squared units of the label. A softmax over one score is always 1
    and its KL always 0; so there is no link and no temperature here.
    """

    name = "regression"
    summary = "one number: squared difference"
    problem_type = "regression"
    shift_invariant = False
    primary_metric = "pearson"
    errors = frozenset({"mse"})
    missing = math.nan

    @classmethod
    def label_names(cls, values: Sequence[Any]) -> tuple[str, ...]:
        """One name, "score", whatever the values are."""
        return ("score",)

    def encode(self, value: Any) -> float:
        """A number, also as text.

        Raises:
            ValueError: not a finite number.
        """
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise ValueError(f"label {value!r} is not a finite number")
        return number

    def is_labelled(self, labels: Tensor) -> Tensor:
        """True where the label is not NaN. Shape (units,) to (units,)."""
        return ~labels.isnan()

    def label_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(score − label)². Shapes (..., units, 1), (units,) to (..., units)."""
        scores = at_least_float32(logits).squeeze(-1)
        return (scores - labels.to(scores.dtype)).square()

    def divergence(self, teacher: Tensor, student: Tensor, temperature: float = 1.0) -> Tensor:
        """(teacher − student)², the temperature is not used. Shapes (..., units, 1) to (..., units)."""
        return (at_least_float32(teacher) - at_least_float32(student)).square().sum(dim=-1)

    def predictions(self, logits: Tensor) -> Tensor:
        """The score itself. Shape (..., units, 1) to (..., units)."""
        return logits.squeeze(-1)

    def describe(self, logits: Tensor) -> list[dict[str, Any]]:
        """The `score` of each unit."""
        return [{"score": score} for score in self.predictions(logits).tolist()]

    def metrics(self, predictions: np.ndarray, labels: np.ndarray) -> Mapping[str, float]:
        """Pearson and Spearman correlation (0 where one side is constant) and mean squared error."""
        from .metrics import Correlations, MeanSquaredError, score

        return {**score(Correlations(), predictions, labels), **score(MeanSquaredError(), predictions, labels)}
