"""How sure a score, or a difference between two methods, is: a bootstrap over rows and seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ukd_core.run.quick_metrics import Metric

DRAWS = 1000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A score, or a difference of two means, with its bootstrap interval."""

    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """In words; "within noise" where the interval holds 0."""
        if self.low > 0.0:
            return "helped"
        return "did not help" if self.high <= 0.0 else "within noise"


def paired_difference(one: np.ndarray, other: np.ndarray, labels: np.ndarray, metric: Metric, *,
                      mean_over_rows: bool = False, draws: int = DRAWS, level: float = LEVEL) -> Interval:
    """The mean over seeds of metric(one) − metric(other), and the interval of its percentiles.

    Each draw takes seeds and rows with replacement, the same for both sides: runs of one seed share their start and
    their order of rows, and both sides answer the same rows. With one seed only rows are drawn. The same input gives
    the same interval.

    Args:
        one: Predictions, shape (seeds, rows, ...).
        other: The same of the side that it is compared with.
        labels: Shape (rows, ...).
        metric: Scores predictions against labels.
        mean_over_rows: The metric is the share of rows that are right (accuracy), so that whole draws are products of
            matrices.
        draws: Number of draws.
        level: Share of draws within the interval.
    """
    generator = np.random.default_rng(0)
    seeds, rows = one.shape[:2]
    by_seed = [metric(a, labels) - metric(b, labels) for a, b in zip(one, other, strict=True)]
    if mean_over_rows:
        right = (one == labels).astype(float) - (other == labels).astype(float)
        found = np.empty(draws)
        for draw in range(draws):
            chosen = np.bincount(generator.integers(seeds, size=seeds), minlength=seeds)
            counts = np.bincount(generator.integers(rows, size=rows), minlength=rows)
            found[draw] = chosen @ right @ counts / (seeds * rows)
    else:
        found = np.array([_one_draw(one, other, labels, metric, generator) for _ in range(draws)])
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(np.mean(by_seed)), float(low), float(high))


def score_interval(predictions: np.ndarray, labels: np.ndarray, metric: Metric, *, mean_over_rows: bool = False,
                   draws: int = DRAWS, level: float = LEVEL) -> Interval:
    """The score of one run, and the interval of its percentiles over draws of rows with replacement.

    The same number of rows gives the same draws: scores of several models on the same rows are drawn alike.

    Args:
        predictions: Shape (rows, ...).
        labels: Shape (rows, ...).
        metric: Scores predictions against labels.
        mean_over_rows: As `paired_difference` takes it.
        draws: Number of draws.
        level: Share of draws within the interval.
    """
    generator = np.random.default_rng(0)
    rows = len(labels)
    right = (predictions == labels).astype(float) if mean_over_rows else None
    found = np.empty(draws)
    for draw in range(draws):
        taken = generator.integers(rows, size=rows)
        found[draw] = metric(predictions[taken], labels[taken]) if right is None else right[taken].mean()
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(metric(predictions, labels)), float(low), float(high))


def _one_draw(one: np.ndarray, other: np.ndarray, labels: np.ndarray, metric: Metric,
              generator: np.random.Generator) -> float:
    seeds, rows = one.shape[:2]
    chosen = generator.integers(seeds, size=(seeds,))
    taken = generator.integers(rows, size=(rows,))
    differences = {seed: metric(one[seed][taken], labels[taken]) - metric(other[seed][taken], labels[taken])
                   for seed in np.unique(chosen)}
    return float(np.mean([differences[seed] for seed in chosen]))
