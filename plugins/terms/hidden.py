"""Hidden states drawn to the teacher's: what output-space matching is compared with."""

from __future__ import annotations

from typing import Any, Literal, final

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from ukd_core import Options, Term, TermInput, TermSetup
from ukd_core.errors import InputError

from ..precision import at_least_float32, full_precision

MIN_NORM = 1e-4
"""Shorter states have no direction; normalised, they are near zero (bounded gradient)."""


class HiddenOptions(Options):
    """Which states are matched, and how."""

    projector: str | None = None
    """Who chooses or mixes the teacher's layers, as ``name:key=value``; None: the run's projector, else ``attention``."""
    width: int | None = Field(default=None, ge=1)
    """Both sides are mapped to this width before they are compared; None: to the teacher's width, where they differ."""
    normalise: bool = False
    """Divide states by their norm before they are compared, so that only the direction counts."""
    distance: Literal["mean", "sum"] = "mean"
    """Of squared differences over the features of a state."""
    include_final: bool = False
    """Match the final layers as well."""
    combine: Literal["layers", "concatenated"] = "layers"
    """`layers`: one distance for each student layer. `concatenated`: one of all student layers behind one another, from
    their teacher layers behind one another, each side mapped to `width` (else 128). The projector does not see the
    student then."""


@final
class HiddenTerm(Term):
    """Squared distance between the student's pooled states and a mixture of the teacher's.

    With h the pooled states, A the projector's weights in hidden space, n(x) = x/‖x‖ with `normalise` and else x, and
    d the mean or sum over features of squared differences:

    - `layers`: Σ_j mean_u d(n(P_j h_student[j, u]), n(Σ_i A[j, i, u] · R_i h_teacher[i, u]))
    - `concatenated`: mean_u d(n(P [h_student[·, u]]), n(R [Σ_i A[·, i, u] · h_teacher[i, u]]))

    P are linear maps that learn with the student; there are none where the widths agree and no `width` is given. R
    are maps of the teacher's side to `width`, drawn once with orthonormal rows and kept: maps learned on both sides can
    agree on saying nothing. Student layers 0..M−2 and teacher layers 0..T−2 take part, with `include_final` all; a
    model of one layer takes part with that one. Units without a label take part as well.

    Source: PKD (Sun et al., EMNLP-IJCNLP 2019): ``projector=fixed:strategy=skip, normalise``; ALP-KD (Passban et al.,
    AAAI 2021): ``projector=attention, include_final``; RAIL-KD (Haidar et al., Findings of NAACL 2022):
    ``projector=random, width=128, normalise, distance=sum``, where ours keeps R instead of learning it.
    """

    name = "hidden"
    summary = "pooled states drawn to a mixture of the teacher's (PKD, ALP-KD, RAIL-KD)"
    Options = HiddenOptions
    options: HiddenOptions
    needs = frozenset({"teacher-states"})

    def __init__(self, options: Any, setup: TermSetup) -> None:
        super().__init__(options, setup)
        students = setup.student_widths[: self._count(len(setup.student_widths))]
        teachers = setup.teacher_widths[: self._count(len(setup.teacher_widths))]
        spec = self.options.projector or setup.projector or "attention"
        self.concatenated = self.options.combine == "concatenated"
        if self.concatenated:
            self._concatenate(students, teachers)
            width = teachers[0]
        else:
            width = self.options.width or teachers[-1]
            mapped = self.options.width is not None
            self.student_maps = nn.ModuleList(
                nn.Identity() if own == width and not mapped else nn.Linear(own, width) for own in students)
            self.teacher_maps = nn.ModuleList(
                nn.Identity() if own == width and not mapped else kept_map(own, width) for own in teachers)
        self.layers = (len(students), len(teachers))
        self.projector = setup.make_projector(spec, *self.layers, width)

    def _concatenate(self, students: tuple[int, ...], teachers: tuple[int, ...]) -> None:
        if len(set(teachers)) > 1:
            raise InputError(f"term '{self.name}'", f"expected teacher layers of one width, got {sorted(set(teachers))}",
                             "Use combine=layers.")
        width = self.options.width or 128
        self.student_maps = nn.ModuleList([nn.Linear(sum(students), width)])
        self.teacher_maps = nn.ModuleList([kept_map(len(students) * teachers[0], width)])

    def forward(self, batch: TermInput) -> Tensor:
        """The loss of a batch, shape (); squared features."""
        if batch.teacher_states is None:
            raise InputError(f"term '{self.name}'", "expected the teacher's states in the batch, got none",
                             "Give the run a teacher, or leave this term out.")
        with full_precision(batch.student.logits):
            student = [at_least_float32(states) for states in batch.student.pooled[: self.layers[0]]]
            teacher = [states.detach().to(student[0]) for states in batch.teacher_states[: self.layers[1]]]
            own, target = self._joined(student, teacher) if self.concatenated else self._stacks(student, teacher)
            if self.options.normalise:
                own, target = (normalize(states, dim=-1, eps=MIN_NORM) for states in (own, target))
            differences = (own - target).square()
            each = differences.mean(dim=-1) if self.options.distance == "mean" else differences.sum(dim=-1)
            return each.mean(dim=-1).sum()

    def _stacks(self, student: list[Tensor], teacher: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Each student layer and its target, both (S, units, width)."""
        own = torch.stack([layer(states) for layer, states in zip(self.student_maps, student, strict=True)])
        given = torch.stack([layer(states) for layer, states in zip(self.teacher_maps, teacher, strict=True)])
        return own, self.projector(own, given).targets

    def _joined(self, student: list[Tensor], teacher: list[Tensor]) -> tuple[Tensor, Tensor]:
        """All student layers as one state, and all targets as one, both (units, width)."""
        given = torch.stack(teacher)
        nothing = given.new_zeros(self.layers[0], *given.shape[1:])
        targets = self.projector(nothing, given).targets
        return (self.student_maps[0](torch.cat(student, dim=-1)),
                self.teacher_maps[0](targets.transpose(0, 1).flatten(start_dim=1)))

    def _count(self, layers: int) -> int:
        return layers if self.options.include_final or layers == 1 else layers - 1


def kept_map(own: int, width: int) -> nn.Linear:
    """A linear map without bias that never learns; its rows (or columns, whichever are fewer) are orthonormal."""
    kept = nn.Linear(own, width, bias=False).requires_grad_(False)
    nn.init.orthogonal_(kept.weight)
    return kept
