"""Metrics in plain NumPy, for whoever needs hundreds of values: a library that checks its input takes milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ukd_core.output_space import OutputSpace

Metric = Callable[[np.ndarray, np.ndarray], float]
"""(predictions, labels) of some rows -> a score; greater is better."""


def own_metric(space: OutputSpace) -> Metric:
    """The metric of a space, as the space computes it."""
    return lambda predictions, labels: float(space.metrics(predictions, labels)[space.metric])


def quick_metric(space: OutputSpace) -> Metric | None:
    """A quick version of the metric of a space; None where there is none.

    Only one that agrees with the space's own on made-up answers, so that a space which gives a well-known name to
    something else is still scored as it says.
    """
    quick = QUICK.get((space.problem_type, space.metric))
    return quick if quick is not None and _agree(space, space.metric) else None


def metric_of(space: OutputSpace) -> Metric:
    """The metric of a space, the quick version where there is one."""
    return quick_metric(space) or own_metric(space)


@lru_cache(maxsize=64)
def _agree(space: OutputSpace, metric: str) -> bool:
    """Whether the quick version gives what the space's own does; `metric` is there because a space can change its."""
    draw = np.random.default_rng(0)
    if space.problem_type == "regression":
        predictions, labels = draw.normal(size=(2, 30)).astype(np.float32)
    elif space.problem_type == "multi_label_classification":
        predictions, labels = (draw.random((2, 30, space.size)) < 0.4).astype(np.int64)
    else:
        labels = np.tile(np.arange(space.size), 3)
        predictions = np.where(draw.random(len(labels)) < 0.5, labels, np.roll(labels, 1))
    return abs(QUICK[space.problem_type, metric](predictions, labels) - own_metric(space)(predictions, labels)) < 1e-9


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
    from scipy.stats import rankdata

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
