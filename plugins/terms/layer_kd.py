"""Every layer of the student drawn to a mixture of the teacher's layers, in the output space (Universal-KD)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ukd_core import Options, Projection, Term, TermInput, TermSetup, TermView, at_least_float32, full_precision

from .growth import growth
from .scores import teacher_scores

DEFAULT_PROJECTOR = "attention:score=cosine"
"""By dot product a student layer soon hears one or two teacher layers, those it already agrees with; it learns less."""


class LayerKDOptions(Options):
    """Which layers are matched, and how."""

    temperature: float | None = Field(default=None, ge=1e-6, le=1e6)
    """Divides both sides' scores in the divergence; None: 1. The run's temperature wins, where the user gave one."""
    projector: str | None = None
    """Who mixes the teacher's layers, as ``name:key=value``; None: the run's projector, else
    ``attention:score=cosine``."""
    include_final: bool = False
    """Match the final layers as well; the classifiers on them have `logit-kd` otherwise."""
    include_classifier: bool = False
    """Mix all teacher layers and, as one more, the teacher's own classifier."""
    annealing: int = Field(default=1, ge=1, le=1_000_000)
    """T_max: the teacher's scores grow to their own size while the phase runs, as in `annealed-scores`; 1: they do
    not."""
    matching: Literal["logits", "losses"] = "logits"
    """`logits`: one divergence from the mixed scores. `losses`: the mixture of the divergences from each layer."""


class LayerKDTerm(Term):
    """Sum over student layers of the divergence from their targets, each a mean over units.

    With z the scores of a pseudo head (the teacher's times φ with `annealing`), A the projector's weights and D_T the
    space's divergence:

    - `logits`: Σ_j mean_u D_T(Σ_i A[j, i, u] · teacher_z[i, u] ‖ student_z[j, u])
    - `losses`: Σ_j mean_u Σ_i A[j, i, u] · D_T(teacher_z[i, u] ‖ student_z[j, u])

    Student layers 0..M−2 and teacher layers 0..T−2 take part, with `include_final` all; a model of one layer takes
    part with that one. With `include_classifier` all T pseudo heads and the classifier are the teacher's layers. The
    term owns the student's heads and the projector; both learn with the student. Units without a label take part.

    Source: Wu et al., Universal-KD, EMNLP 2021, https://aclanthology.org/2021.emnlp-main.603; the sum over layers and
    the choice of layers follow the GLMKD implementation, the formula of `losses` is inferred. Ours: the cosine of the
    attention, where GLMKD has the dot product (``projector=attention``; compared in `docs/results.md`).
    """

    name = "layer-kd"
    summary = "Universal-KD: every student layer matches a mixture of teacher layers in the output space"
    Options = LayerKDOptions
    options: LayerKDOptions
    needs = frozenset({"teacher-scores"})

    def __init__(self, options: Any, setup: TermSetup) -> None:
        super().__init__(options, setup)
        self.temperature: float = setup.temperature or self.options.temperature or 1.0
        self.student_layers = self._count(len(setup.student_widths))
        self.teacher_layers = (setup.teacher_layers + 1 if self.options.include_classifier
                               else self._count(setup.teacher_layers))
        self.heads = nn.ModuleList(setup.make_head(width) for width in setup.student_widths[: self.student_layers])
        spec = self.options.projector or setup.projector or DEFAULT_PROJECTOR
        self.projector = setup.make_projector(spec, self.student_layers, self.teacher_layers)
        self.scale = 1.0

    def on_progress(self, fraction: float) -> None:
        """Set φ for the next step, and tell the projector."""
        super().on_progress(fraction)
        self.scale = growth(fraction, self.options.annealing)

    def forward(self, batch: TermInput) -> Tensor:
        """The loss of a batch, shape (); nats, or squared units for regression."""
        with full_precision(batch.student.logits):
            return self.matching_loss(batch, self.scores_of_layers(batch))

    def look(self, batch: TermInput) -> TermView:
        """Scores of the student's pseudo heads, and the projector's weights; shapes as `TermView` has them."""
        with full_precision(batch.student.logits):
            student = self.scores_of_layers(batch)
            return TermView(student, self._projected(batch, student)[1].weights)

    def scores_of_layers(self, batch: TermInput) -> Tensor:
        """Scores of the student's pseudo heads, shape (S, units, C), float32 at least."""
        return torch.stack([head(at_least_float32(states)) for head, states
                            in zip(self.heads, batch.student.pooled, strict=False)])

    def matching_loss(self, batch: TermInput, student: Tensor) -> Tensor:
        """The loss for the scores of the student's layers, (S, units, C); shape ()."""
        teacher, projection = self._projected(batch, student)
        if self.options.matching == "logits":
            each = self.space.divergence(projection.targets, student, self.temperature)
        else:
            pairs = (len(student), *teacher.shape)
            apart = self.space.divergence(teacher.unsqueeze(0).expand(pairs), student.unsqueeze(1).expand(pairs),
                                          self.temperature)
            each = (projection.weights * apart).sum(dim=1)
        return each.sum() / each.shape[-1]

    def _projected(self, batch: TermInput, student: Tensor) -> tuple[Tensor, Projection]:
        """The scores of the teacher's layers, (T, units, C), and what the projector makes of them."""
        teacher = teacher_scores(batch, student, self.name)[: self.teacher_layers]
        if self.options.annealing > 1:
            teacher = teacher * self.scale
        return teacher, self.projector(student, teacher)

    def _count(self, layers: int) -> int:
        return layers if self.options.include_final or layers == 1 else layers - 1
