"""States of single tokens drawn to the teacher's (TinyBERT)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from torch import Tensor

from ukd_core import TermInput, TermSetup, at_least_float32, masked_mean

from .mapped_layers import MappedOptions, MappedTerm, Share, mixed, student_maps, teacher_maps


@final
class TokenHiddenTerm(MappedTerm):
    """Sum over student layers of the mean squared distance of their token states from those of their teacher layers.

    A unit's distance in layer j is the mean over its tokens t of ‖P_j h_S[j, t] − h_T[g(j), t]‖² / width, and the loss
    is the mean over units; padding does not count. P_j is a linear map that learns with the student, and is none where
    the widths agree. A teacher layer of another width than the teacher's last has a map to that width, drawn once and
    kept. Which teacher layers g(j) is, and when j takes part: `MappedTerm`. Units without a label take part as well.

    Source: the hidden-state loss of TinyBERT (Jiao et al., Findings of EMNLP 2020, https://arxiv.org/abs/1909.10351).
    Ours: a map for each layer, none where widths agree, and a mean unit by unit instead of over the padded batch.
    """

    name = "token-hidden"
    summary = "token states drawn to the teacher's, which runs in training (TinyBERT)"
    Options = MappedOptions
    options: MappedOptions
    needs = frozenset({"student-tokens", "teacher-tokens"})

    def __init__(self, options: Any, setup: TermSetup) -> None:
        super().__init__(options, setup)
        self.student_maps = student_maps(setup.student_widths, setup.teacher_widths[-1])
        self.teacher_maps = teacher_maps(setup.teacher_widths, setup.teacher_widths[-1])

    def distances(self, batch: TermInput, layer: int, shares: Sequence[Share]) -> Tensor:
        """One student layer; shape (units,), squared features."""
        student, teacher = batch.student, batch.teacher
        if student.tokens is None or student.mask is None or teacher is None or teacher.tokens is None:
            raise self.missing("token states of student and teacher")
        own = self.student_maps[layer](at_least_float32(student.tokens[layer]))
        given = {place: self.teacher_maps[place](teacher.tokens[place].detach().to(own)) for place, _ in shares}
        return token_distance(own, mixed(given, shares), student.mask)


def token_distance(own: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean over a unit's tokens of the mean squared difference over features; shape (units,).

    Args:
        own: Shape (units, length, width).
        target: The same shape.
        mask: True where a token counts, shape (units, length), bool.
    """
    return masked_mean((own - target).square().mean(dim=-1, keepdim=True), mask).squeeze(-1)
