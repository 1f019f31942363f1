"""Layers matched in the output space whose student heads learn from the labels as well."""

from __future__ import annotations

from typing import final

from pydantic import Field
from torch import Tensor

from ukd_core import TermInput, full_precision

from .layer_kd import LayerKDOptions, LayerKDTerm


class SupervisedLayerKDOptions(LayerKDOptions):
    """Which layers are matched, how, and how much labels count."""

    label_weight: float = Field(default=1.0, ge=0.0, allow_inf_nan=False)
    """Of the label loss beside the divergence."""


@final
class SupervisedLayerKDTerm(LayerKDTerm):
    """`layer-kd`, and for each student layer `label_weight` times the label loss of its pseudo head.

    Formula: the formula of `layer-kd` + label_weight · Σ_j mean over labelled u of ℓ(student_z[j, u], y[u]), ℓ the
    space's label loss. A batch without labels has the first part alone.

    Source: MHKD (Wang, Lohit, Jones, Fu, 2020, https://arxiv.org/abs/2012.02911).
    """

    name = "supervised-layer-kd"
    summary = "layer-kd whose student heads also learn from the labels"
    Options = SupervisedLayerKDOptions
    options: SupervisedLayerKDOptions
    needs = frozenset({"teacher-scores", "known-labels"})

    def forward(self, batch: TermInput) -> Tensor:
        """The loss of a batch, shape (); nats, or squared units for regression."""
        with full_precision(batch.student.logits):
            student = self.scores_of_layers(batch)
            loss = self.matching_loss(batch, student)
            if batch.labelled.any():
                known = batch.labels[batch.labelled]
                losses = [self.space.label_loss(scores[batch.labelled], known).mean() for scores in student]
                loss = loss + self.options.label_weight * sum(losses, loss.new_zeros(()))
            return loss
