"""The direction of pooled states drawn to the teacher's (PID, SID)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from torch import Tensor
from torch.nn.functional import normalize

from ukd_core import TermInput, TermSetup, at_least_float32

from .hidden import MIN_NORM
from .mapped_layers import MappedOptions, MappedTerm, Share, mixed, student_maps, teacher_maps
from .states import teacher_states


@final
class PooledCosineTerm(MappedTerm):
    """Sum over student layers of the mean over units of 1 − cos(P_j h_S[j, u], h_T[g(j), u]), h the pooled states.

    P_j is a linear map that learns with the student, and is none where the widths agree. A teacher layer of another
    width than the teacher's last has a map to that width, drawn once and kept. Which teacher layers g(j) is, and when j
    takes part: `MappedTerm`. The teacher's states are those that are kept, or of a teacher that runs anyway; its tokens
    do not matter. Units without a label take part as well.

    Source: Knowledge Distillation from Internal Representations (Aguilar et al., AAAI 2020,
    https://arxiv.org/abs/1910.03723), there of the first token; ours of what the adapters pool.
    """

    name = "pooled-cosine"
    summary = "1 − cos of pooled states and the teacher's, layer by layer (PID, SID)"
    Options = MappedOptions
    options: MappedOptions
    needs = frozenset({"teacher-states"})

    def __init__(self, options: Any, setup: TermSetup) -> None:
        super().__init__(options, setup)
        self.student_maps = student_maps(setup.student_widths, setup.teacher_widths[-1])
        self.teacher_maps = teacher_maps(setup.teacher_widths, setup.teacher_widths[-1])

    def distances(self, batch: TermInput, layer: int, shares: Sequence[Share]) -> Tensor:
        """One student layer; shape (units,), between 0 and 2."""
        own = self.student_maps[layer](at_least_float32(batch.student.pooled[layer]))
        teacher = teacher_states(batch, own, self.name)
        given = {place: self.teacher_maps[place](teacher[place]) for place, _ in shares}
        one, other = (normalize(states, dim=-1, eps=MIN_NORM) for states in (own, mixed(given, shares)))
        return 1.0 - (one * other).sum(dim=-1)
