"""Ensemble: the mixture of teacher layers that is most right on held-out rows, found by differential evolution."""

from __future__ import annotations

from typing import Any, final

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ukd_core import HeldOut, Options

from .held_out import HeldOutProjector, mean_loss

AT_ONCE = 1 << 18
"""Scores of mixtures that are computed at a time: so few stay in the processor's cache, which is four times as fast."""
TINY = 1e-12
"""Least sum that a point is divided by; nearer to the origin all layers are alike."""


class EnsembleOptions(Options):
    """How long the weights are searched for."""

    generations: int = Field(default=100, ge=1, le=1_000_000)
    """Most generations of the search; it ends before where all candidates are equally good."""
    population: int = Field(default=10, ge=1, le=100_000)
    """Candidates for each teacher layer."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the search."""


@final
class EnsembleProjector(HeldOutProjector):
    """The weights, alike for all units and student layers, whose mixture of scores has the least held-out label loss.

    Formula: weights[s, :, u] = argmin over w ≥ 0, Σ_t w_t = 1 of the mean over held-out rows of ℓ(Σ_t w_t · z_t, y),
    with z_t the scores of layer t and ℓ the space's label loss. The search is differential evolution (rand/1/bin, F
    drawn from 0.5–0.8 for each generation, CR 0.9) over points of [0, 1]^T divided by their sum. Each layer alone and
    all alike are among the first candidates and the best is never lost: on the held-out rows the mixture is at least as
    good as any of them. The same rows and seed give the same weights, in whatever order the layers come.

    Source: Ganta, Das Gupta, Sheng, Knowledge Distillation via Weighted Ensemble of Teaching Assistants,
    https://arxiv.org/abs/2206.12005, where the members are trained assistants; over pseudo heads it costs no training.
    The constraint and the objective are inferred; ours mixes scores, as every projector does, not probabilities.
    """

    name = "ensemble"
    summary = "the mixture of teacher layers that is most right on held-out labels"
    Options = EnsembleOptions
    options: EnsembleOptions

    def found_shares(self, rows: HeldOut) -> Tensor:
        """The best weights that the search finds; shape (T,), float64."""
        shares = torch.ones(len(rows.scores), dtype=torch.float64)
        if len(shares) > 1:
            generator = np.random.default_rng(self.options.seed)
            # Draws go by position: from the best layer to the worst, the order that layers come in does not matter.
            order = mean_loss(rows, rows.scores.double()).argsort(stable=True)
            shares[order] = torch.from_numpy(self._search(rows, order, generator))
        return shares

    def _search(self, rows: HeldOut, order: Tensor, generator: np.random.Generator) -> np.ndarray[Any, Any]:
        from scipy.optimize import differential_evolution

        layers, scores = len(order), rows.scores[order]
        corners = np.concatenate([np.eye(layers), np.ones((1, layers))])
        others = max(self.options.population * layers - len(corners), 5 - len(corners), 0)
        found = differential_evolution(
            lambda points: _losses(rows, scores, _shares(points.T)), [(0.0, 1.0)] * layers, strategy="rand1bin",
            maxiter=self.options.generations, init=np.concatenate([corners, generator.random((others, layers))]),
            mutation=(0.5, 0.8), recombination=0.9, tol=1e-4, polish=False, updating="deferred", vectorized=True,
            rng=generator)
        return _shares(found.x)


def _shares(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Points of [0, 1]^T, (..., T), divided by their sum."""
    points = np.where(points.sum(axis=-1, keepdims=True) < TINY, 1.0, points)
    shares: np.ndarray[Any, Any] = points / points.sum(axis=-1, keepdims=True)
    return shares


def _losses(rows: HeldOut, scores: Tensor, shares: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Mean label loss of mixtures: scores (T, rows, C) and shares (points, T) to (points,)."""
    points = torch.split(torch.from_numpy(shares).to(scores), max(1, AT_ONCE // scores[0].numel()))
    parts = [mean_loss(rows, torch.tensordot(part, scores, dims=1)) for part in points]
    losses: np.ndarray[Any, Any] = torch.cat(parts).double().numpy()
    return losses
