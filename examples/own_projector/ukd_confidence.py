"""A projector that listens to the teacher layers that are sure of their answer."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from ukd_core import Options, Projector, hookimpl


class ConfidenceOptions(Options):
    """How much a sure layer counts for more than an unsure one."""

    sharpness: float = Field(4.0, ge=0.0, le=100.0)
    """0 weighs all layers equally."""


class ConfidenceProjector(Projector):
    """Weighs teacher layers by their confidence, unit by unit, for all student layers alike.

    Formula: weights[s, t, u] = softmax_t(sharpness · maximum_c softmax(teacher[t, u])_c).
    """

    name = "confidence"
    summary = "surer teacher layers weigh more"
    Options = ConfidenceOptions

    def weights(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Shares of the teacher layers.

        Args:
            student: Shape (S, units, D), floating.
            teacher: Shape (T, units, D), floating.

        Returns:
            Shape (S, T, units), dtype of `student`.
        """
        scores = teacher.to(torch.promote_types(teacher.dtype, torch.float32))
        confidence = scores.softmax(dim=-1).amax(dim=-1)
        shares = (self.options.sharpness * confidence).softmax(dim=0)
        return shares.to(student.dtype).expand(len(student), -1, -1)


@hookimpl
def ukd_register_projectors() -> list[type[Projector]]:
    """Offer the projector; called once, while plug-ins load."""
    return [ConfidenceProjector]
