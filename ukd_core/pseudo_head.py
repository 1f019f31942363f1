"""The contract of a pseudo head: a layer's pooled state turned into the scores of the task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn


class PseudoHead(nn.Module, ABC):
    """A small classifier on one layer.

    Teacher heads are fitted on frozen states before distillation and never change afterwards; student heads are
    trained with the student and never saved with it.

    Args:
        width: Width of the pooled state.
        size: C, the number of scores.
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.width = width
        self.size = size

    @abstractmethod
    def forward(self, states: Tensor) -> Tensor:
        """Score pooled states: shape (units, width) to (units, C), dtype and device kept."""

    @abstractmethod
    def absorb_standardisation(self, mean: Tensor, deviation: Tensor) -> None:
        """Fold x -> (x - mean) / deviation into the weights. Called once, after the head was fitted on such states.

        Args:
            mean: Shape (width,), floating.
            deviation: Shape (width,), floating, positive.
        """
