"""The student's final answer drawn to the teacher's."""

from __future__ import annotations

from typing import Any, Literal, final

from pydantic import Field
from torch import Tensor

from ukd_core import (
    Options,
    Projection,
    Projector,
    Term,
    TermInput,
    TermSetup,
    TermView,
    at_least_float32,
    full_precision,
)

from .scores import teacher_scores


class LogitKDOptions(Options):
    """What the student's answer is compared with."""

    temperature: float | None = Field(default=None, ge=1e-6, le=1e6)
    """Divides both sides' scores; None: 1. The run's temperature wins, where the user gave one."""
    projector: str | None = None
    """A projector over all pseudo heads and the classifier, as ``name:key=value``; None: the classifier alone."""
    matching: Literal["logits", "losses"] = "logits"
    """With a projector: one divergence from the mixed scores, or the mixture of the divergences from each."""


@final
class LogitKDTerm(Term):
    """Mean over units of the divergence of the student's scores from the teacher's.

    Formula: mean_u D_T(target[u] ‖ student[u]), D_T the space's divergence (T² · KL for classes). The target is the
    teacher's classifier, or with a projector its mixture of the T pseudo heads and the classifier (T + 1 layers); with
    `matching=losses` the mixture is taken of the divergences from each of them. All units take part, labelled or not.

    Source: Hinton et al., 2015, https://arxiv.org/abs/1503.02531; with a projector: Universal-KD's pseudo teacher
    assistants (Wu et al., EMNLP 2021).
    """

    name = "logit-kd"
    summary = "T²·KL of the final scores, against the classifier or a mixture of pseudo heads"
    Options = LogitKDOptions
    options: LogitKDOptions
    needs = frozenset({"teacher-scores"})

    def __init__(self, options: Any, setup: TermSetup) -> None:
        super().__init__(options, setup)
        self.temperature: float = setup.temperature or self.options.temperature or 1.0
        spec = self.options.projector
        self.projector: Projector | None = (
            setup.make_projector(spec, 1, setup.teacher_layers + 1) if spec is not None else None)

    def forward(self, batch: TermInput) -> Tensor:
        """The loss of a batch, shape (); nats, or squared units for regression."""
        student = at_least_float32(batch.student.logits)
        scores = teacher_scores(batch, student, self.name)
        with full_precision(student):
            projection = self._projected(student, scores)
            if projection is None:
                return self.space.divergence(scores[-1], student, self.temperature).mean()
            if self.options.matching == "logits":
                return self.space.divergence(projection.targets[0], student, self.temperature).mean()
            apart = self.space.divergence(scores, student.expand_as(scores), self.temperature)
            mixed: Tensor = (projection.weights[0] * apart).sum(dim=0)
            return mixed.mean()

    def look(self, batch: TermInput) -> TermView | None:
        """The student's own scores as its one layer, and the projector's weights; nothing without a projector."""
        student = at_least_float32(batch.student.logits)
        with full_precision(student):
            projection = self._projected(student, teacher_scores(batch, student, self.name))
            return None if projection is None else TermView(student.unsqueeze(0), projection.weights)

    def _projected(self, student: Tensor, scores: Tensor) -> Projection | None:
        """What the projector makes of the teacher's scores, (T + 1, units, C); None without a projector."""
        return None if self.projector is None else self.projector(student.unsqueeze(0), scores)
