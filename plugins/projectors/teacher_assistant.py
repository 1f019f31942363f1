"""Teacher assistant: the teacher's shallow layers stand in for a smaller teacher."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Literal, final

from pydantic import Field
from torch import Tensor
from torch.nn.functional import pad

from ukd_core import Projector, ProjectorSetup

from .attention import AttentionOptions, AttentionProjector


class TeacherAssistantOptions(AttentionOptions):
    """How layers are compared, and when they join."""

    schedule: Literal["none", "shallow-to-deep"] = "shallow-to-deep"
    """`shallow-to-deep`: training starts with the first teacher layer, the others join one by one."""
    until: float = Field(default=0.5, gt=0.0, le=1.0)
    """Fraction of the phase after which all layers take part."""


@final
class TeacherAssistantProjector(Projector):
    """Attention over the teacher's pseudo classifiers and its own classifier, joined from shallow to deep.

    The answers of shallow layers are closer to what a small student can learn; they take the place of a separately
    trained teacher assistant. At progress p of the phase the first 1 + ⌊min(p / until, 1)·(T − 1)⌋ teacher layers
    take part, weighted as by `attention`; the others have weight 0. Until `on_progress` is called, all take part.

    Source: Wu et al., Universal-KD, EMNLP 2021 (pseudo teacher assistants), after Mirzadeh et al., AAAI 2020; the
    paper's text was not at hand: the fused form is inferred, the schedule is this project's.
    """

    name = "teacher-assistant"
    summary = "attention over the teacher's layers, which join from shallow to deep"
    Options = TeacherAssistantOptions
    options: TeacherAssistantOptions
    exceptions = MappingProxyType({
        "check_teacher_permutation": "which layers take part goes by their depth while the schedule runs",
    })

    def __init__(self, options: Any = None, setup: ProjectorSetup | None = None) -> None:
        super().__init__(options, setup)
        self.attention = AttentionProjector(self.options, setup)
        self.fraction = 1.0

    def on_progress(self, fraction: float) -> None:
        """Note how far the phase is; with the schedule, it decides how many layers take part."""
        self.fraction = fraction

    def weights(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Attention over the layers that take part; shapes and dtypes as in `Projector.weights`."""
        layers = self._taking_part(teacher.shape[0])
        weights = self.attention.weights(student, teacher[:layers])
        return pad(weights, (0, 0, 0, teacher.shape[0] - layers))

    def _taking_part(self, layers: int) -> int:
        if self.options.schedule == "none":
            return layers
        return 1 + int(min(self.fraction / self.options.until, 1.0) * (layers - 1))
