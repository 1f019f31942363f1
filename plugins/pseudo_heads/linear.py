"""The default pseudo head: one linear map."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from ukd_core import PseudoHead


@final
class LinearHead(PseudoHead):
    """Scores a pooled state by y = x Wᵀ + b.

    Linear, so that a fitted head says what a layer knows and not what the head worked out. The bias lets a head
    answer class frequencies that the states do not carry.

    Source: linear probes as in Universal-KD (Wu et al., EMNLP 2021); the GLMKD implementation has no bias.
    """

    name = "linear"
    summary = "one linear map with a bias"

    def __init__(self, width: int, size: int) -> None:
        super().__init__(width, size)
        self.linear = nn.Linear(width, size)

    def forward(self, states: Tensor) -> Tensor:
        """Score pooled states: shape (units, width) to (units, C), dtype and device of the states."""
        scores: Tensor = self.linear(states)
        return scores

    @torch.no_grad()
    def absorb_standardisation(self, mean: Tensor, deviation: Tensor) -> None:
        """Fold x -> (x - mean) / deviation into the weights: W / deviation and b - W (mean / deviation)."""
        weight = self.linear.weight / deviation.to(self.linear.weight)
        self.linear.bias.sub_(weight @ mean.to(weight))
        self.linear.weight.copy_(weight)
