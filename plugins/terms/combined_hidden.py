"""Several hidden layers of the teacher combined into one target for each layer of the student (CKD)."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from ukd_core import Options, Term, TermInput, TermSetup, TermSpec, at_least_float32, full_precision

from .states import teacher_states


class CombinedHiddenOptions(Options):
    """Which teacher layers are combined."""

    projector: str = "fixed:strategy=buckets"
    """Its shares say which teacher layers are in the bucket of a student layer: those that are not 0. Asked once,
    before training, so it must be a map that does not look at the states."""


@final
class CombinedHiddenTerm(Term):
    """Squared distance between each pooled state of the student and a learned map of several of the teacher's.

    Formula: Σ_j mean_{u, features} (h_student[j, u] − (W_j [h_teacher[i, u] for i in bucket j] + b_j))², where [·] puts
    states behind one another and W_j, b_j learn with the student. All layers of both sides take part, and units
    without a label too.

    Source: Wu et al., Why Skip If You Can Combine, EMNLP 2020, and its published code.
    """

    name = "combined-hidden"
    summary = "pooled states drawn to a learned map of several teacher layers (CKD)"
    Options = CombinedHiddenOptions
    options: CombinedHiddenOptions
    needs = frozenset({"teacher-states"})

    def __init__(self, options: Any, setup: TermSetup) -> None:
        super().__init__(options, setup)
        students, teachers = setup.student_widths, setup.teacher_widths
        projector = setup.make_projector(self.options.projector, len(students), len(teachers), 1)
        shares = projector(torch.zeros(len(students), 1, 1), torch.zeros(len(teachers), 1, 1)).weights[..., 0]
        self.buckets = [row.nonzero().flatten().tolist() for row in shares]
        self.maps = nn.ModuleList(nn.Linear(sum(teachers[layer] for layer in bucket), width)
                                  for bucket, width in zip(self.buckets, students, strict=True))

    @classmethod
    def in_output_space(cls, spec: TermSpec) -> tuple[TermSpec, ...]:
        """The same buckets, matched by `layer-kd` with weight 0.5: the mean of their pseudo heads' scores."""
        projector = spec.options.get("projector", CombinedHiddenOptions().projector)
        return (TermSpec(term="layer-kd", weight=0.5, options={"projector": projector, "include_final": True}),)

    def forward(self, batch: TermInput) -> Tensor:
        """The loss of a batch, shape (); squared features."""
        with full_precision(batch.student.logits):
            student = [at_least_float32(states) for states in batch.student.pooled]
            teacher = teacher_states(batch, student[0], self.name)
            losses = [mse_loss(own, layer(torch.cat([teacher[index] for index in bucket], dim=-1)))
                      for own, bucket, layer in zip(student, self.buckets, self.maps, strict=True)]
            return torch.stack(losses).sum()
