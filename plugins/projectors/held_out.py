"""What projectors share whose weights follow from the teacher's scores of labelled rows."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor

from ukd_core import HeldOut, Projector, ProjectorSetup
from ukd_core.errors import InputError


class HeldOutProjector(Projector):
    """Weights that are found once, when it is built, and hold for all units and all student layers; constants.

    Args:
        options: As `Projector` takes them.
        setup: With labelled rows.

    Raises:
        InputError: the setup has none: the projector is over hidden states, or no row has a label.
    """

    shares: Tensor
    """Of each teacher layer, shape (T,), float32."""

    def __init__(self, options: Any = None, setup: ProjectorSetup | None = None) -> None:
        super().__init__(options, setup)
        if setup is None or setup.held_out is None:
            raise InputError(f"projector '{self.name}'", "expected scores of labelled rows to weigh the teacher's "
                             "layers by, got none", "Use it in the output space, with labels in the validation or "
                             "training rows.")
        self.register_buffer("shares", self.found_shares(setup.held_out()).float())

    @abstractmethod
    def found_shares(self, rows: HeldOut) -> Tensor:
        """The share of each teacher layer, shape (T,), float64; ≥ 0 and summing to 1. Called once, when it is built."""

    def weights(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The shares, for every student layer and unit alike; shapes and dtypes as in `Projector.weights`."""
        shape = (student.shape[0], teacher.shape[0], student.shape[1])
        return self.shares.to(student).view(1, -1, 1).expand(shape)


def mean_loss(rows: HeldOut, scores: Tensor) -> Tensor:
    """Mean label loss over the rows, nats (squared units for regression).

    Args:
        rows: Where the labels are.
        scores: Shape (..., rows, C), floating.

    Returns:
        Shape (...), dtype of `scores`.
    """
    return rows.label_loss(scores).mean(dim=-1)
