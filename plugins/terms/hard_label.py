"""The loss against the labels of the data."""

from __future__ import annotations

from typing import final

from torch import Tensor

from ukd_core import Term, TermInput


@final
class HardLabelTerm(Term):
    """Mean of the space's label loss over the labelled units; 0, with a gradient of 0, where none is labelled."""

    name = "hard-label"
    summary = "the task's own loss on labelled units"
    needs = frozenset({"labels"})

    def forward(self, batch: TermInput) -> Tensor:
        """The loss of a batch, shape (); nats, or squared units for regression."""
        logits = batch.student.logits
        if not bool(batch.labelled.any()):
            return (logits * 0.0).sum()
        return self.space.label_loss(logits[batch.labelled], batch.labels[batch.labelled]).mean()
