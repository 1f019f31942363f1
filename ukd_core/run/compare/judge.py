"""Scores of answers and differences between them, with intervals over rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ukd_core.run.compare.bootstrap import DRAWS, Interval, paired_difference, score_interval
from ukd_core.run.quick_metrics import own_metric, quick_metric

if TYPE_CHECKING:
    import numpy as np

    from ukd_core.output_space import OutputSpace
    from ukd_core.run.quick_metrics import Metric

FEW_DRAWS = 200
"""Of a metric that only its space can compute: milliseconds a draw."""


class Judge:
    """Scores answers in the metric of a space, with intervals over rows.

    Args:
        space: Its `metric` is used.
        labels: Of labelled rows, shape (rows,) or (rows, C).
    """

    def __init__(self, space: OutputSpace, labels: np.ndarray) -> None:
        self.labels = labels
        self._space = space
        self._by_rows = space.metric == "accuracy" and labels.ndim == 1

    def quality(self, predictions: np.ndarray) -> Interval:
        """Score and interval; `predictions` has the shape of the labels."""
        metric, draws = self._metric()
        return score_interval(predictions, self.labels, metric, draws=draws, mean_over_rows=self._by_rows)

    def difference(self, one: np.ndarray, other: np.ndarray) -> Interval:
        """Score of `one` minus that of `other`, paired by seed and row: both (seeds, rows) or (seeds, rows, C)."""
        metric, draws = self._metric()
        return paired_difference(one, other, self.labels, metric, draws=draws, mean_over_rows=self._by_rows)

    def _metric(self) -> tuple[Metric, int]:
        quick = quick_metric(self._space)
        return (own_metric(self._space), FEW_DRAWS) if quick is None else (quick, DRAWS)
