"""A linear model on given features, with its penalty chosen on rows that it was not fitted to."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from ukd_core.run.alternatives.task import CLASSES, LEAST_CHANCE, NUMBER, SEVERAL, NotServed
from ukd_core.run.labels import stratified

if TYPE_CHECKING:
    from ukd_core.output_space import OutputSpace

STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)
"""Values of C (weight of the data against an L2 penalty of 1) that are tried; for regression 1/C is the penalty."""
CHOICE_ROWS = 10_000
"""C is chosen on at most so many rows; the model is then fitted to all."""
HELD = 0.2
LEAST_ROWS = 20
"""With fewer there is nothing to choose by: C is `STRENGTHS[3]`."""
STEPS = 300


class LinearScores:
    """Logistic regression for classes and for each of several labels, ridge regression for numbers.

    Args:
        features: Of labelled rows, (rows, width), sparse or dense.
        labels: Encoded, shape (rows,) or (rows, C).
        space: What scores mean.
        strength: C.
    """

    def __init__(self, features: Any, labels: np.ndarray, space: OutputSpace, strength: float) -> None:
        self._space = space
        kind = space.problem_type
        if kind == CLASSES:
            self._models = [_logistic(features, labels, strength)]
        elif kind == SEVERAL:
            self._models = [_logistic(features, column.astype(int), strength) for column in labels.T]
        elif kind == NUMBER:
            self._models = [Ridge(alpha=1.0 / strength).fit(features, labels)]
        else:
            raise NotServed(f"it does not know the output space '{space.name}'")

    def __call__(self, features: Any) -> np.ndarray:
        """Scores as the space has them, (rows, C); `features` as for fitting."""
        if self._space.problem_type == NUMBER:
            return np.asarray(self._models[0].predict(features))[:, None]
        if self._space.problem_type == SEVERAL:
            chances = np.stack([_chances(model, features, 2)[:, 1] for model in self._models], axis=1)
            return np.asarray(np.log(chances) - np.log1p(-chances))
        return np.asarray(np.log(_chances(self._models[0], features, self._space.size)))

    @property
    def parameters(self) -> int:
        """Weights and offsets."""
        return sum(getattr(model, name).size if isinstance(getattr(model, name), np.ndarray) else 1
                   for model in self._models if not isinstance(model, float) for name in ("coef_", "intercept_"))


def fit_linear(features: Any, labels: np.ndarray, space: OutputSpace, seed: int) -> LinearScores:
    """A model whose C does best, in the space's metric, on a fifth of the rows; then fitted to all of them.

    Args:
        features: Of labelled rows, (rows, width), sparse or dense.
        labels: Encoded, shape (rows,) or (rows, C).
        space: What scores mean.
        seed: Of the split.
    """
    return LinearScores(features, labels, space, _strength(features, labels, space, seed))


def _strength(features: Any, labels: np.ndarray, space: OutputSpace, seed: int) -> float:
    rows = np.random.default_rng(seed).permutation(len(labels))[:CHOICE_ROWS]
    strata: Sequence[Any] = labels[rows].tolist()
    held = stratified(strata, round(HELD * len(rows)), seed, spare_one=True)
    if len(rows) < LEAST_ROWS or not held:
        return STRENGTHS[3]
    rest = np.setdiff1d(np.arange(len(rows)), held)
    fitted, kept = rows[rest], rows[held]
    scores = []
    for strength in STRENGTHS:
        logits = LinearScores(features[fitted], labels[fitted], space, strength)(features[kept])
        answers = space.predictions(torch.from_numpy(logits)).numpy()
        scores.append(space.metrics(answers, labels[kept])[space.metric])
    return STRENGTHS[int(np.argmax(scores))]


def _logistic(features: Any, labels: np.ndarray, strength: float) -> Any:
    """A fitted model, or the share of ones where all labels are the same: a regression has nothing to tell apart."""
    if len(np.unique(labels)) < 2:
        return float(np.clip(labels[0], 1.0 / (len(labels) + 2), 1.0 - 1.0 / (len(labels) + 2)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not wholly converged after `STEPS` is still an honest opponent
        return LogisticRegression(C=strength, max_iter=STEPS).fit(features, labels)


def _chances(model: Any, features: Any, size: int) -> np.ndarray:
    """Probabilities of all classes, those that the model never saw included: shape (rows, size)."""
    if isinstance(model, float):
        return np.tile([1.0 - model, model], (features.shape[0], 1))
    chances = np.full((features.shape[0], size), LEAST_CHANCE)
    chances[:, model.classes_] = model.predict_proba(features)
    return np.clip(chances, LEAST_CHANCE, 1.0 - LEAST_CHANCE)
