"""Attention maps drawn to the teacher's (TinyBERT, PID, SID)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, final

import torch
from torch import Tensor

from ukd_core import TermInput, at_least_float32

from .mapped_layers import MappedOptions, MappedTerm, Share, mixed

LEAST = 1e-8
"""Smaller shares count as this in logarithms, so that none is infinite."""


class AttentionMapOptions(MappedOptions):
    """Which maps are matched, and how."""

    distance: Literal["mse", "scores", "kl"] = "mse"
    """`mse`: mean squared difference of the maps. `scores`: that of the scores before the softmax. `kl`: mean
    divergence of the rows, teacher ‖ student."""


@final
class AttentionMapTerm(MappedTerm):
    """Sum over student layers of the distance of their attention maps from those of their teacher layers.

    With A[h, r, c] the share that token r of a unit gives to token c in head h, n the unit's tokens and H the heads; a
    unit's distance in one layer is

    - `mse`: Σ_{h,r,c} (A_S − A_T)² / (H·n²)
    - `scores`: Σ_{h,r,c} (a_S − a_T)² / (H·n²), with a = log A less its mean over the row: the scores before the
      softmax up to a constant for each row, which the softmax ignores
    - `kl`: Σ_{h,r,c} A_T·log(A_T / A_S) / (H·n), nats

    and the loss is the mean over units. Rows and columns of padding do not count. Where the numbers of heads differ,
    maps are averaged over heads first. Which teacher layers a student layer has, and when it takes part: `MappedTerm`.
    Units without a label take part as well.

    Source: TinyBERT (Jiao et al., Findings of EMNLP 2020, https://arxiv.org/abs/1909.10351), of which we recall that it
    compares scores before the softmax with a mean over the padded batch: `scores`; Knowledge Distillation from Internal
    Representations (Aguilar et al., AAAI 2020, https://arxiv.org/abs/1910.03723): `kl`. Ours: both are taken from the
    maps that transformers shows, averaged unit by unit, so that a long unit counts no more than a short one.
    """

    name = "attention-map"
    summary = "attention maps drawn to the teacher's, which runs in training (TinyBERT, PID, SID)"
    Options = AttentionMapOptions
    options: AttentionMapOptions
    needs = frozenset({"student-attentions", "teacher-attentions"})

    def distances(self, batch: TermInput, layer: int, shares: Sequence[Share]) -> Tensor:
        """One student layer; shape (units,)."""
        student, teacher = batch.student, batch.teacher
        if student.attentions is None or student.mask is None or teacher is None or teacher.attentions is None:
            raise self.missing("attention maps of student and teacher")
        own, target = _alike(at_least_float32(student.attentions[layer]), teacher.attentions, shares)
        real = student.mask
        pairs = real[:, None, :, None] & real[:, None, None, :]
        tokens = real.sum(dim=1).clamp(min=1)
        if self.options.distance == "kl":
            return _divergence(own, target, pairs) / (own.shape[1] * tokens)
        if self.options.distance == "scores":
            own, target = _scores(own, pairs), _scores(target, pairs)
        return ((own - target).square() * pairs).sum(dim=(1, 2, 3)) / (own.shape[1] * tokens.square())


def _alike(own: Tensor, teacher: Sequence[Tensor], shares: Sequence[Share]) -> tuple[Tensor, Tensor]:
    """A student map and its target with one number of heads, both (units, heads, length, length)."""
    given = {layer: teacher[layer].detach().to(own) for layer, _ in shares}
    if len({own.shape[1], *(maps.shape[1] for maps in given.values())}) > 1:
        own = own.mean(dim=1, keepdim=True)
        given = {layer: maps.mean(dim=1, keepdim=True) for layer, maps in given.items()}
    return own, mixed(given, shares)


def _scores(maps: Tensor, pairs: Tensor) -> Tensor:
    """Logarithms less their mean over the real tokens of a row; shapes as in `_divergence`."""
    logs = maps.clamp(min=LEAST).log()
    return logs - (logs * pairs).sum(dim=-1, keepdim=True) / pairs.sum(dim=-1, keepdim=True).clamp(min=1)


def _divergence(own: Tensor, target: Tensor, pairs: Tensor) -> Tensor:
    """Σ over heads and rows of KL(target ‖ own), nats; shape (units,).

    Args:
        own: Shape (units, heads, length, length).
        target: The same shape.
        pairs: True where both tokens count, shape (units, 1, length, length), bool.
    """
    logs = target.clamp(min=LEAST).log() - own.clamp(min=LEAST).log()
    return torch.where(pairs, target * logs, 0.0).sum(dim=(1, 2, 3))
