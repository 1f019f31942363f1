"""Raw scores drawn to the teacher's, which grow from small to their own size while the phase runs."""

from __future__ import annotations

from typing import Any, final

from pydantic import Field
from torch import Tensor

from ukd_core import Options, Term, TermInput, TermSetup, TermSpec, at_least_float32

from .growth import growth
from .scores import teacher_scores


class AnnealedScoresOptions(Options):
    """How the teacher's scores grow, and how near is near enough."""

    temperatures: int = Field(default=7, ge=1, le=1_000_000)
    """T_max: the phase has so many equal parts, with the temperatures T_max, …, 2, 1."""
    margin: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """m: squared distances below m·φ cost nothing."""


@final
class AnnealedScoresTerm(Term):
    """Mean over units of max(0, ‖z_S − φ·z_T‖² − m·φ) of the raw scores, with φ growing from 1/T_max to 1.

    φ = 1 − (T − 1)/T_max, where the temperature T begins at T_max and falls by one after each 1/T_max of the phase.
    Until `on_progress` is called φ is 1. No softmax is taken, so no temperature divides scores; all units take part.

    Source: Annealing-KD (Jafari et al., EACL 2021; m = 0) and Continuation-KD (Jafari et al., Findings of EMNLP 2022).
    Ours: T falls after equal parts of the phase's steps rather than after whole epochs.
    """

    name = "annealed-scores"
    summary = "squared distance of raw scores, the teacher's growing from small to their own size"
    Options = AnnealedScoresOptions
    options: AnnealedScoresOptions
    needs = frozenset({"teacher-scores"})

    def __init__(self, options: Any, setup: TermSetup) -> None:
        super().__init__(options, setup)
        self.scale = 1.0

    @classmethod
    def in_output_space(cls, spec: TermSpec) -> tuple[TermSpec, ...]:
        """The term itself, and `layer-kd` with the same weight from scores that grow in the same way."""
        parts = spec.options.get("temperatures", AnnealedScoresOptions().temperatures)
        return spec, TermSpec(term="layer-kd", weight=spec.weight, options={"annealing": parts})

    def on_progress(self, fraction: float) -> None:
        """Set φ for the next step."""
        self.scale = growth(fraction, self.options.temperatures)

    def forward(self, batch: TermInput) -> Tensor:
        """The loss of a batch, shape (); squared scores."""
        student = at_least_float32(batch.student.logits)
        target = teacher_scores(batch, student, self.name)[-1] * self.scale
        distance = (student - target).square().sum(dim=-1) - self.options.margin * self.scale
        return distance.clamp(min=0.0).mean()
