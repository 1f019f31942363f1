"""Hidden states drawn to the teacher's: what output-space matching is compared with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, final

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from ukd_core import Options, Term, TermInput, TermSetup, TermSpec, at_least_float32, full_precision, mix
from ukd_core.errors import InputError

from .states import teacher_states

MIN_NORM = 1e-4
"""Shorter states have no direction; normalised, they are near zero (bounded gradient)."""
JOINED_WIDTH = 128
"""Width that concatenated states are mapped to where none is asked for; RAIL-KD's."""


class HiddenOptions(Options):
    """Which states are matched, and how."""

    projector: str | None = None
    """Who chooses or mixes the teacher's layers, as ``name:key=value``; None: the run's, else ``attention``."""
    width: int | None = Field(default=None, ge=1, le=65_536)
    """Both sides are mapped to this width before they are compared; None: to the teacher's width, where they differ."""
    shared: bool = False
    """Layers of one side and width share one map; else each has its own."""
    teacher_map: Literal["kept", "learned"] = "kept"
    """Maps of the teacher's side: drawn once with orthonormal rows and kept, or learned with the student. Two learned
    sides can agree on saying nothing; then no map has a bias, which alone could do it."""
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


class LayerMaps(nn.Module):
    """A linear map for every layer of one side, to one width; none for a layer that has that width already.

    Args:
        widths: Of the layers.
        width: That all are mapped to.
        options: `width`, `shared` and `teacher_map` of the term.
        kept: Whether the maps are drawn once and never learn.
    """

    def __init__(self, widths: Sequence[int], width: int, options: HiddenOptions, kept: bool) -> None:
        super().__init__()
        keys = [f"width{own}" if options.shared else f"layer{layer}" for layer, own in enumerate(widths)]
        self.keys = tuple(keys)
        bias = options.teacher_map == "kept"
        self.maps = nn.ModuleDict()
        for key, own in dict(zip(keys, widths, strict=True)).items():
            if own == width and options.width is None:
                self.maps[key] = nn.Identity()
            else:
                self.maps[key] = kept_map(own, width) if kept else nn.Linear(own, width, bias=bias)

    def __iter__(self) -> Iterator[nn.Module]:
        """The map of each layer, in order."""
        return (self.maps[key] for key in self.keys)

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """Map (units, width_l) for each layer to one stack, (layers, units, width)."""
        return torch.stack([layer(given) for layer, given in zip(self, states, strict=True)])


@final
class HiddenTerm(Term):
    """Squared distance between the student's pooled states and a mixture of the teacher's.

    With h the pooled states, A the projector's weights in hidden space, n(x) = x/‖x‖ with `normalise` and else x, and
    d the mean or sum over features of squared differences:

    - `layers`: Σ_j mean_u d(n(P_j h_student[j, u]), n(Σ_i A[j, i, u] · R_i h_teacher[i, u]))
    - `concatenated`: mean_u d(n(P [h_student[·, u]]), n(R [Σ_i A[·, i, u] · h_teacher[i, u]]))

    P are linear maps that learn with the student; there are none where the widths agree and no `width` is given. R
    are maps of the teacher's side to `width`, see `teacher_map`. Student layers 0..M−2 and teacher layers 0..T−2 take
    part, with `include_final` all; a model of one layer takes part with that one. Units without a label take part.

    Source: PKD (Sun et al., EMNLP-IJCNLP 2019): ``projector=fixed:strategy=skip, normalise``; ALP-KD (Passban et al.,
    AAAI 2021): ``projector=attention, include_final``; RAIL-KD (Haidar et al., Findings of NAACL 2022):
    ``projector=random, width=128, shared, teacher_map=learned, normalise, distance=sum``.
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
        kept = self.options.teacher_map == "kept"
        if self.concatenated:
            width = self._one_width(teachers)
            joined = self.options.width or JOINED_WIDTH
            options = self.options.model_copy(update={"width": joined})
            self.student_maps = LayerMaps([sum(students)], joined, options, kept=False)
            self.teacher_maps = LayerMaps([len(students) * width], joined, options, kept)
        else:
            width = self.options.width or teachers[-1]
            self.student_maps = LayerMaps(students, width, self.options, kept=False)
            self.teacher_maps = LayerMaps(teachers, width, self.options, kept)
        self.layers = (len(students), len(teachers))
        self.projector = setup.make_projector(spec, *self.layers, width)

    @classmethod
    def in_output_space(cls, spec: TermSpec) -> tuple[TermSpec, ...]:
        """The same choice of layers, matched by `layer-kd` with weight 0.5."""
        given = {key: value for key, value in spec.options.items() if key in ("projector", "include_final")}
        return (TermSpec(term="layer-kd", weight=0.5, options=given),)

    def _one_width(self, teachers: tuple[int, ...]) -> int:
        if len(set(teachers)) > 1:
            raise InputError(f"term '{self.name}'", "expected teacher layers of one width, got "
                                                    f"{', '.join(map(str, sorted(set(teachers))))}",
                             "Use combine=layers.")
        return teachers[0]

    def forward(self, batch: TermInput) -> Tensor:
        """The loss of a batch, shape (); squared features."""
        with full_precision(batch.student.logits):
            student = [at_least_float32(states) for states in batch.student.pooled[: self.layers[0]]]
            teacher = teacher_states(batch, student[0], self.name)[: self.layers[1]]
            own, target = self._joined(student, teacher) if self.concatenated else self._stacks(student, teacher)
            if self.options.normalise:
                own, target = (normalize(states, dim=-1, eps=MIN_NORM) for states in (own, target))
            differences = (own - target).square()
            each = differences.mean(dim=-1) if self.options.distance == "mean" else differences.sum(dim=-1)
            return each.mean(dim=-1).sum()

    def _stacks(self, student: list[Tensor], teacher: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Each student layer and its target, both (S, units, width)."""
        own, given = self.student_maps(student), self.teacher_maps(teacher)
        projection = self.projector(own, given)
        # What the projector mixes has no gradient; maps that learn need one.
        learned = self.options.teacher_map == "learned"
        return own, mix(projection.weights, given) if learned else projection.targets

    def _joined(self, student: list[Tensor], teacher: list[Tensor]) -> tuple[Tensor, Tensor]:
        """All student layers as one state, and all targets as one, both (1, units, width)."""
        given = torch.stack(teacher)
        nothing = given.new_zeros(self.layers[0], *given.shape[1:])
        targets = self.projector(nothing, given).targets
        return (self.student_maps([torch.cat(student, dim=-1)]),
                self.teacher_maps([targets.transpose(0, 1).flatten(start_dim=1)]))

    def _count(self, layers: int) -> int:
        return layers if self.options.include_final or layers == 1 else layers - 1


def kept_map(own: int, width: int) -> nn.Linear:
    """A linear map without bias that never learns; its rows (or columns, whichever are fewer) are orthonormal."""
    kept = nn.Linear(own, width, bias=False).requires_grad_(False)
    nn.init.orthogonal_(kept.weight)
    return kept
