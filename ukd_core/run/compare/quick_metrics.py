"""Metrics for a thousand draws of rows: plain NumPy in place of a library that checks its input each time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

from ukd_core.run.compare.bootstrap import DRAWS, Interval, Metric, paired_difference, score_interval

if TYPE_CHECKING:
    from ukd_core.output_space import OutputSpace

FEW_DRAWS = 200
"""Of a metric that only its space can compute: milliseconds a draw."""


class Judge:
    """Scores answers in the metric of a space, with intervals over rows.

    A quick version of the metric is used where its value on the rows at hand is that of the space's own; so a space
    that gives a well-known name to something else is still scored as it says.

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
        metric, draws = self._metric(predictions)
        return score_interval(predictions, self.labels, metric, draws=draws, mean_over_rows=self._by_rows)

    def difference(self, one: np.ndarray, other: np.ndarray) -> Interval:
        """Score of `one` minus that of `other`, paired by seed and row: both (seeds, rows) or (seeds, rows, C)."""
        metric, draws = self._metric(one[0])
        return paired_difference(one, other, self.labels, metric, draws=draws, mean_over_rows=self._by_rows)

    def _metric(self, predictions: np.ndarray) -> tuple[Metric, int]:
        quick = QUICK.get((self._space.problem_type, self._space.metric))
        if quick is not None and abs(quick(predictions, self.labels) - self._own(predictions, self.labels)) < 1e-9:
            return quick, DRAWS
        return self._own, FEW_DRAWS

    def _own(self, predictions: np.ndarray, labels: np.ndarray) -> float:
        return float(self._space.metrics(predictions, labels)[self._space.metric])


def _accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    same = predictions == labels
    return float((same if same.ndim == 1 else same.all(axis=1)).mean())


def _counts(predictions: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How often each class was answered rightly, was answered, and was true: shape (C,) each."""
    size = int(max(predictions.max(), labels.max())) + 1
    of = partial(np.bincount, minlength=size)
    return of(labels[predictions == labels]), of(predictions), of(labels)


def _f1_of(hits: np.ndarray, given: np.ndarray, true: np.ndarray) -> np.ndarray:
    """2·hits / (given + true) for each label that occurs on either side."""
    occurs = given + true > 0
    return np.asarray(2.0 * hits[occurs] / (given + true)[occurs])


def _f1_binary(predictions: np.ndarray, labels: np.ndarray) -> float:
    hits, both = np.sum((predictions == 1) & (labels == 1)), np.sum(predictions == 1) + np.sum(labels == 1)
    return float(2.0 * hits / both) if both else 0.0


def _f1_macro(predictions: np.ndarray, labels: np.ndarray) -> float:
    return float(_f1_of(*_counts(predictions, labels)).mean())


def _f1_macro_of_labels(predictions: np.ndarray, labels: np.ndarray) -> float:
    """A label that neither side has counts 0, as in scikit-learn for rows of several labels."""
    hits, both = (predictions * labels).sum(axis=0), predictions.sum(axis=0) + labels.sum(axis=0)
    return float((2.0 * hits / np.maximum(both, 1)).mean())


def _f1_micro_of_labels(predictions: np.ndarray, labels: np.ndarray) -> float:
    both = predictions.sum() + labels.sum()
    return float(2.0 * (predictions * labels).sum() / both) if both else 0.0


def _matthews(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Gorodkin's R_K; 0 where one side is constant."""
    hits, given, true = (counts.astype(np.float64) for counts in _counts(predictions, labels))
    rows = float(len(labels))
    below = (rows**2 - given @ given) * (rows**2 - true @ true)
    return float((hits.sum() * rows - given @ true) / np.sqrt(below)) if below > 0 else 0.0


def _pearson(predictions: np.ndarray, labels: np.ndarray) -> float:
    one, other = (side.astype(np.float64) - side.mean(dtype=np.float64) for side in (predictions, labels))
    below = np.sqrt((one @ one) * (other @ other))
    return float(one @ other / below) if below > 0 else 0.0


def _spearman(predictions: np.ndarray, labels: np.ndarray) -> float:
    return _pearson(rankdata(predictions), rankdata(labels))


QUICK: Mapping[tuple[str, str], Metric] = {
    ("single_label_classification", "accuracy"): _accuracy,
    ("single_label_classification", "f1"): _f1_binary,
    ("single_label_classification", "f1_macro"): _f1_macro,
    ("single_label_classification", "matthews_correlation"): _matthews,
    ("multi_label_classification", "accuracy"): _accuracy,
    ("multi_label_classification", "f1_macro"): _f1_macro_of_labels,
    ("multi_label_classification", "f1_micro"): _f1_micro_of_labels,
    ("regression", "pearson"): _pearson,
    ("regression", "spearmanr"): _spearman,
}
"""(problem_type of the space, metric) -> the same in plain NumPy."""
