"""The loss against the labels of the data."""

from __future__ import annotations

from typing import Any, Literal, final

import torch
from torch import Tensor

from ukd_core import Options, Term, TermInput, TermSetup
from ukd_core.errors import InputError


class HardLabelOptions(Options):
    """How much each label counts."""

    class_weights: Literal["none", "balanced"] | None = None
    """`balanced`: a unit of class c counts n / (C · n_c), with n labelled training rows, n_c of them of class c;
    `none`: every unit counts the same; None: as the run says."""


@final
class HardLabelTerm(Term):
    """Mean of the space's label loss over the labelled units; 0, with a gradient of 0, where none is labelled.

    With balanced classes: mean_u w[y_u] · loss[u], w[c] = n / (C · n_c). The mean of w over the training rows is 1, and
    a unit weighs the same whatever else is in its batch (to divide by the batch's own sum of weights, as PyTorch's
    cross entropy does, would give a rare class less where it is together with others of its kind).

    Source of the weights: King, Zeng, Logistic Regression in Rare Events Data, Political Analysis 9, 2001; as
    scikit-learn's ``class_weight="balanced"``.
    """

    name = "hard-label"
    summary = "the task's own loss on labelled units"
    Options = HardLabelOptions
    options: HardLabelOptions
    needs = frozenset({"labels"})
    weights: Tensor | None
    """Of each class, shape (C,), float32; None where all count the same."""

    def __init__(self, options: Any, setup: TermSetup) -> None:
        super().__init__(options, setup)
        balanced = (self.options.class_weights or setup.class_weights) == "balanced"
        self.register_buffer("weights", _balanced(setup) if balanced else None, persistent=False)

    def forward(self, batch: TermInput) -> Tensor:
        """The loss of a batch, shape (); nats, or squared units for regression."""
        logits = batch.student.logits
        if not bool(batch.labelled.any()):
            return (logits * 0.0).sum()
        labels = batch.labels[batch.labelled]
        loss = self.space.label_loss(logits[batch.labelled], labels)
        return loss.mean() if self.weights is None else (self.weights.to(loss)[labels] * loss).mean()


def _balanced(setup: TermSetup) -> Tensor:
    """w[c] = n / (C · n_c), shape (C,), float32; 0 for a class without a row, which no unit has."""
    if setup.class_counts is None:
        raise InputError("class_weights 'balanced'", "expected one class for each text, got output space "
                         f"'{setup.space.name}'", "Use class_weights none.")
    counts = torch.tensor(setup.class_counts, dtype=torch.float32)
    return torch.where(counts > 0, counts.sum() / (len(counts) * counts.clamp(min=1.0)), 0.0)
