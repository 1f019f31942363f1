"""How far a model's probabilities are to be trusted."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, log_softmax

BINS = 15


def calibration(logits: np.ndarray, labels: np.ndarray, problem_type: str) -> tuple[float | None, float | None]:
    """Expected calibration error (0 to 1) and negative log likelihood (nats a row).

    For classes, p is the softmax, the confidence of a row is its largest p, and a row is right or wrong:
    NLL = −mean log p[label]. For several labels, each label is a question of its own: its confidence is the sigmoid
    and it holds or does not; the error is the mean of that of each label, the NLL sums over the labels of a row. Other
    spaces have neither.

    Args:
        logits: Shape (rows, C), of labelled rows, at least one.
        labels: Encoded, shape (rows,) or (rows, C).
        problem_type: Of the output space.
    """
    scores = logits.astype(np.float64)
    if problem_type == "single_label_classification":
        logs = log_softmax(scores, axis=1)
        right = scores.argmax(axis=1) == labels
        nll = -logs[np.arange(len(labels)), labels].mean()
        return calibration_error(np.exp(logs.max(axis=1)), right), float(nll)
    if problem_type == "multi_label_classification":
        holds = labels.astype(np.float64)
        lost = np.logaddexp(0.0, scores) - holds * scores  # binary cross entropy of each label
        errors = [calibration_error(expit(scores[:, label]), holds[:, label]) for label in range(scores.shape[1])]
        return float(np.mean(errors)), float(lost.sum(axis=1).mean())
    return None, None


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> float:
    """ECE = Σ_b |rows in b| / rows · |mean(right in b) − mean(confidence in b)|, over bins of equal width.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, https://arxiv.org/abs/1706.04599, with
    its 15 bins.

    Args:
        confidence: Shape (rows,), 0 to 1.
        right: Shape (rows,), 0/1 or bool.
        bins: How many.
    """
    return sum(rows * abs(share - sure) for sure, share, rows in reliability(confidence, right, bins)) / len(confidence)


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> list[tuple[float, float, int]]:
    """Bins of equal width: mean confidence of the rows in it, share of them that are right, how many there are.

    Bin b holds (b/bins, (b + 1)/bins], and the first one 0 as well; bins without rows are left out.

    Args:
        confidence: Shape (rows,), 0 to 1.
        right: Shape (rows,), 0/1 or bool.
        bins: How many.
    """
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    chosen = [place == each for each in np.unique(place)]
    return [(float(confidence[rows].mean()), float(right[rows].mean()), int(rows.sum())) for rows in chosen]
