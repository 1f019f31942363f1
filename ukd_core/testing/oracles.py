"""Slow, obvious float64 versions of what UKD computes, to compare fast code with.

Arrays have the axes of the contracts: layers, units, D.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def softmax(values: Array) -> Array:
    """exp(v_i) / Σ_j exp(v_j) of one row; shape (D,), as is the result."""
    powers = np.exp(values - values.max())
    shares: Array = powers / powers.sum()
    return shares


def log_softmax(values: Array) -> Array:
    """Logarithm of the softmax of one row, shape (D,), finite where the softmax underflows."""
    shifted = values - values.max()
    logs: Array = shifted - np.log(np.exp(shifted).sum())
    return logs


def centred(row: Array) -> Array:
    """A row, shape (D,), less its mean."""
    difference: Array = row - row.mean()
    return difference


def attention(student: Array, teacher: Array, *, temperature: float = 1.0, cosine: bool = False,
              centre: bool = True, min_norm: float = 1e-4) -> Array:
    """Weights of the `attention` projector: softmax over teacher layers of ⟨student, teacher⟩ / temperature.

    Args:
        student: Shape (S, units, D).
        teacher: Shape (T, units, D).
        temperature: Divides the scores.
        cosine: Divide both sides by their norm first; shorter rows than `min_norm` keep a cosine near 0.
        centre: Subtract each row's mean over D first.
        min_norm: Least norm that a row is divided by.

    Returns:
        Shape (S, T, units).
    """

    def compared(row: Array) -> Array:
        kept = centred(row) if centre else row
        if not cosine:
            return kept
        rounding = np.sqrt(np.finfo(np.float64).eps) * np.linalg.norm(row)
        scaled: Array = kept / max(np.linalg.norm(kept), rounding, min_norm)
        return scaled

    weights = np.zeros((len(student), len(teacher), student.shape[1]))
    for j, student_layer in enumerate(student):
        for unit, row in enumerate(student_layer):
            scores = [compared(row) @ compared(teacher_layer[unit]) / temperature for teacher_layer in teacher]
            weights[j, :, unit] = softmax(np.array(scores))
    return weights


def mix(weights: Array, teacher: Array) -> Array:
    """Targets: Σ_t weights[s, t, u] · teacher[t, u], shapes (S, T, units) and (T, units, D) to (S, units, D)."""
    targets = np.zeros((len(weights), *teacher.shape[1:]))
    for j in range(weights.shape[0]):
        for i in range(weights.shape[1]):
            for unit in range(weights.shape[2]):
                targets[j, unit] += weights[j, i, unit] * teacher[i, unit]
    return targets


def kl_divergence(teacher: Array, student: Array, temperature: float = 1.0) -> float:
    """T² · KL(softmax(teacher / T) ‖ softmax(student / T)) of one unit, nats. Shapes (C,)."""
    p, q = log_softmax(teacher / temperature), log_softmax(student / temperature)
    return float(temperature**2 * sum(np.exp(a) * (a - b) for a, b in zip(p, q, strict=True)))


def universal_layer_loss(student: Array, teacher: Array, weights: Array, temperature: float = 1.0,
                         *, over_losses: bool = False) -> float:
    """The layer loss of Universal-KD: Σ_j mean_u KL(target[j, u] ‖ student[j, u]), nats.

    Args:
        student: Shape (S, units, C).
        teacher: Shape (T, units, C).
        weights: Shape (S, T, units).
        temperature: T of the divergence, with the factor T².
        over_losses: Mix the divergences from each teacher layer instead of the scores.
    """
    targets = mix(weights, teacher)
    total = 0.0
    for j, layer in enumerate(student):
        for unit, row in enumerate(layer):
            if over_losses:
                loss = sum(weights[j, i, unit] * kl_divergence(teacher[i, unit], row, temperature)
                           for i in range(len(teacher)))
            else:
                loss = kl_divergence(targets[j, unit], row, temperature)
            total += loss / len(layer)
    return float(total)


def cross_entropy(scores: Array, label: int) -> float:
    """−log softmax(scores)[label] of one unit, nats. Shape (C,)."""
    return float(-log_softmax(scores)[int(label)])


def _log_sigmoid(score: float) -> float:
    return float(min(score, 0.0) - np.log1p(np.exp(-abs(score))))


def binary_cross_entropy(scores: Array, labels: Array) -> float:
    """Σ_c −log σ(±scores_c), plus where the label holds (1), minus where it does not (0), nats. Shapes (C,)."""
    return -sum(float(holds) * _log_sigmoid(score) + (1.0 - float(holds)) * _log_sigmoid(-score)
                for score, holds in zip(scores.tolist(), labels.tolist(), strict=True))


def bernoulli_divergence(teacher: Array, student: Array, temperature: float = 1.0) -> float:
    """T² · Σ_c KL(Bernoulli(σ(teacher_c / T)) ‖ Bernoulli(σ(student_c / T))) of one unit, nats. Shapes (C,)."""
    total = 0.0
    for t, s in zip((teacher / temperature).tolist(), (student / temperature).tolist(), strict=True):
        for sign in (1.0, -1.0):
            share = float(np.exp(_log_sigmoid(sign * t)))
            total += share * (_log_sigmoid(sign * t) - _log_sigmoid(sign * s))
    return temperature**2 * total


def squared_error(teacher: Array, student: Array, temperature: float = 1.0) -> float:
    """Σ_c (teacher_c − student_c)² of one unit, whatever the temperature, in squared units. Shapes (C,)."""
    return float(sum((t - s) ** 2 for t, s in zip(teacher.tolist(), student.tolist(), strict=True)))


def linear(states: Array, weight: Array, bias: Array) -> Array:
    """The map x Wᵀ + b of every unit: shapes (units, width), (C, width), (C,) to (units, C)."""
    scores = np.zeros((len(states), len(weight)))
    for unit, row in enumerate(states):
        for index, column in enumerate(weight):
            scores[unit, index] = sum(a * b for a, b in zip(row, column, strict=True)) + bias[index]
    return scores
