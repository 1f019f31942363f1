"""Attention: every student layer attends to all teacher layers."""

from __future__ import annotations

from typing import Literal, final

import torch
from pydantic import Field
from torch import Tensor

from ukd_core import Options, Projector, at_least_float32, full_precision

MIN_NORM = 1e-4
"""Scores of a unit that differ by less have no direction; their cosine with anything goes to 0 (bounded gradient)."""


class AttentionOptions(Options):
    """How layers are compared."""

    temperature: float = Field(default=1.0, ge=1e-6, le=1e6)
    """Divides the scores before the softmax over teacher layers; greater is more even."""
    score: Literal["dot", "cosine"] = "dot"
    """Dot product, in which confident layers weigh more, or cosine, in which only the direction counts."""
    detach: bool = False
    """Keep the gradient out of the attention weights, so that the student cannot choose easy layers by them."""
    centre: bool | Literal["auto"] = "auto"
    """Subtract each layer's mean over D before scoring; "auto": where scores are shift-invariant and D > 1."""


@final
class AttentionProjector(Projector):
    """Weights teacher layers by their likeness to the student layer, unit by unit.

    Formula: weights[s, :, u] = softmax_t(⟨c(student[s, u]), c(teacher[t, u])⟩ / temperature), where c subtracts the
    mean over D. A softmax over classes ignores a constant added to all scores, a dot product does not; centring
    makes the weights ignore it too. With ``score=cosine`` both sides are first divided by their norm.
    Without a setup the stacks are taken for class scores. Scores are computed in float32 at least.

    Source: Wu et al., Universal-KD, EMNLP 2021, https://aclanthology.org/2021.emnlp-main.603; the dot product
    without scaling follows the GLMKD implementation; centring is this project's. In hidden space without centring it
    is ALP-KD (Passban et al., AAAI 2021).
    """

    name = "attention"
    summary = "each student layer attends to all teacher layers, unit by unit"
    Options = AttentionOptions
    options: AttentionOptions

    def weights(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Softmax of the scores over teacher layers; shapes and dtypes as in `Projector.weights`."""
        with full_precision(student):
            scores = self._scores(at_least_float32(student), at_least_float32(teacher))
            if self.options.temperature != 1.0:
                # Subtracting the greatest first keeps the quotient finite for any temperature.
                scores = (scores - scores.detach().amax(dim=-1, keepdim=True)) / self.options.temperature
            weights = scores.softmax(dim=-1).to(student.dtype).permute(1, 2, 0)
        return weights.detach() if self.options.detach else weights

    def _scores(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Scores of all pairs of layers, units first: shape (units, S, T)."""
        teacher = self._compared(teacher)
        if self.options.score == "cosine":
            student = self._compared(student)  # a dot product with what is centred ignores a constant on this side
        return torch.bmm(student.transpose(0, 1), teacher.permute(1, 2, 0))

    def _compared(self, stack: Tensor) -> Tensor:
        centred = stack - stack.mean(dim=-1, keepdim=True) if self._centres(stack.shape[-1]) else stack
        if self.options.score == "dot":
            return centred
        # What centring leaves of equal scores is rounding noise, which has no direction either.
        noise = torch.finfo(stack.dtype).eps ** 0.5 * _norm(stack.detach())
        return centred / _norm(centred).maximum(noise.clamp(min=MIN_NORM))

    def _centres(self, width: int) -> bool:
        if self.options.centre == "auto":
            return width > 1 and (self.setup is None or self.setup.shift_invariant)
        return bool(self.options.centre)


def _norm(stack: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(stack, dim=-1, keepdim=True)
    return norm
