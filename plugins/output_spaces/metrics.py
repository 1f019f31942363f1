"""Metrics as local `evaluate.Metric` classes on scikit-learn and SciPy; the scripts on the hub need the network.

Names and values are those of evaluate's own metrics (`glue`, `f1`, …). Constant predictions give 0.0 without a warning.
"""

from __future__ import annotations

import tempfile
import warnings
from abc import ABC, abstractmethod
from typing import Any, final

import evaluate
import numpy as np
from datasets import Features, Sequence, Value
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef, mean_squared_error


class _LocalMetric(evaluate.Metric, ABC):  # type: ignore[misc]
    """An `evaluate.Metric` that keeps its rows in memory.

    Args:
        config_name: "multilabel" for rows of zeros and ones, else one value a row.
        options: What the measure takes beside predictions and references.
    """

    about = ""
    value_type = "int64"

    def __init__(self, config_name: str | None = None, **options: Any) -> None:
        self.options = options
        # evaluate makes a cache folder even for rows in memory; the home folder may be read-only.
        with tempfile.TemporaryDirectory(prefix="ukd-metric-") as folder:
            super().__init__(config_name, keep_in_memory=True, cache_dir=folder)

    def _info(self) -> evaluate.MetricInfo:
        value = Value(self.value_type)
        row = Sequence(value) if self.config_name == "multilabel" else value
        return evaluate.MetricInfo(description=self.about, citation="", inputs_description=self.about,
                                   features=Features({"predictions": row, "references": row}))

    def compute(self, *, predictions: Any = None, references: Any = None, **options: Any) -> dict[str, float] | None:
        """As evaluate's: of these rows, else of those that were added before.

        Args:
            predictions: Shape (rows,) or (rows, C).
            references: Shape of `predictions`.
            options: Whatever else evaluate takes.
        """
        if predictions is None or references is None or options:
            added: dict[str, float] | None = super().compute(predictions=predictions, references=references, **options)
            return added
        # Rows that are at hand whole need no table; to write, hash and read one takes evaluate ten times as long as
        # the measure, and a look at the layers measures each of them.
        return self._compute(predictions, references)

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return self._measure(np.asarray(predictions), np.asarray(references))

    @abstractmethod
    def _measure(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        """Scores of arrays of shape (rows,) or (rows, C)."""


@final
class Accuracy(_LocalMetric):
    """Share of rows that are wholly right."""

    about = "Share of rows that are wholly right, 0 to 1."

    def _measure(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        return {"accuracy": float(accuracy_score(references, predictions))}


@final
class F1(_LocalMetric):
    """Harmonic mean of precision and recall; option `average` as in scikit-learn ("binary": of label 1)."""

    about = "Harmonic mean of precision and recall, 0 to 1; 0 where both are undefined."

    def _measure(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        return {"f1": float(f1_score(references, predictions, zero_division=0.0, **self.options))}


@final
class MatthewsCorrelation(_LocalMetric):
    """Correlation of predicted and true classes."""

    about = "Correlation of predicted and true classes, -1 to 1; 0 where one side is constant."

    def _measure(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        constant = len(np.unique(predictions)) < 2 or len(np.unique(references)) < 2
        return {"matthews_correlation": 0.0 if constant else float(matthews_corrcoef(references, predictions))}


@final
class Correlations(_LocalMetric):
    """Pearson's and Spearman's correlation of predicted and true numbers."""

    about = "Pearson's and Spearman's correlation, -1 to 1; 0 where one side is constant or not finite."
    value_type = "float64"

    def _measure(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        return {"pearson": _correlation(stats.pearsonr, predictions, references),
                "spearmanr": _correlation(stats.spearmanr, predictions, references)}


@final
class MeanSquaredError(_LocalMetric):
    """Mean squared difference."""

    about = "Mean squared difference, in squared units of the label; infinite where a prediction is not finite."
    value_type = "float64"

    def _measure(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        finite = bool(np.isfinite(predictions).all())
        return {"mse": float(mean_squared_error(references, predictions)) if finite else float("inf")}


def score(metric: evaluate.Metric, predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Run one metric.

    Args:
        metric: One of the classes above.
        predictions: Shape (rows,) or (rows, C).
        labels: Shape of `predictions`, no missing label among them.
    """
    kind = np.dtype(metric.value_type)
    result: dict[str, float] = metric.compute(predictions=np.asarray(predictions).astype(kind),
                                              references=np.asarray(labels).astype(kind))
    return result


def _correlation(measure: Any, predictions: np.ndarray, references: np.ndarray) -> float:
    if not np.isfinite(predictions).all() or any(np.ptp(side) == 0.0 for side in (predictions, references)):
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy warns of nearly constant input; its answer is still the best there is
        value = float(measure(predictions, references).statistic)
    return value if np.isfinite(value) else 0.0
