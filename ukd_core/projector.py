"""The contract of a projector: which mixture of the teacher's layers each student layer learns from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ukd_core import spec
from ukd_core.checks import check_stacks, check_weights


@dataclass(frozen=True, slots=True)
class Projection:
    """What a projector decides."""

    targets: Tensor
    """What each student layer is matched with, shape (S, units, D)."""
    weights: Tensor
    """How much of each teacher layer is in it, shape (S, T, units); ≥ 0, sums to 1 over T."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """The teacher's scores of labelled rows, for projectors whose weights follow from how right each layer is.

    The rows are the labelled ones of the validation split. Where there are none, they are those of the training
    split, on which pseudo heads (and perhaps the teacher) were fitted: deep layers then look better than they are.
    Of many rows it is a random sample, always the same.
    """

    scores: Tensor
    """Shape (T, rows, C), float32, on the CPU: of the T teacher layers that the projector will see, in the same order:
    pseudo heads by depth, last the classifier where it takes part."""
    labels: Tensor
    """Encoded, shape (rows,) or (rows, C); none is missing, and there is at least one row."""
    label_loss: Callable[[Tensor], Tensor]
    """Scores of the same rows, (..., rows, C), to the loss of each, (..., rows): nats, or squared units for
    regression."""


@dataclass(frozen=True, slots=True)
class ProjectorSetup:
    """What is known when a projector is built; only projectors with learned weights need it."""

    student_layers: int
    teacher_layers: int
    width: int
    """D: the number of classes in output space, the hidden width in hidden space."""
    shift_invariant: bool = True
    """True where adding a constant to all D entries of a unit means nothing (class scores)."""
    passes: int = 1
    """Passes over the training rows in the phase, rounded, at least one."""
    held_out: Callable[[], HeldOut] | None = None
    """Reads the teacher's scores of labelled rows; None over hidden states, and where no row has a label."""


class Projector(nn.Module, ABC):
    """Mixes teacher layers into one target for each student layer.

    Agnostic of what D is: class scores for Universal-KD, hidden width for the classic methods. Called once a term and
    training step. The laws that every projector keeps are those of `ukd_core.testing`; one that it cannot keep is
    declared in `exceptions` with its reason.

    Args:
        options: An instance of `Options`; None for the defaults.
        setup: Layer counts and width; None where the projector does not depend on them.
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    Options: ClassVar[type[spec.Options]] = spec.Options
    exceptions: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def __init__(self, options: Any = None, setup: ProjectorSetup | None = None) -> None:
        super().__init__()
        self.options = options if options is not None else type(self).Options()
        self.setup = setup

    def forward(self, student: Tensor, teacher: Tensor) -> Projection:
        """Decide the mixture.

        Args:
            student: Shape (S, units, D), floating.
            teacher: Shape (T, units, D), dtype and device of `student`. No gradient flows into it.

        Raises:
            ShapeError: the stacks do not have three axes, or differ in units or D; or `weights` gave another shape.
        """
        check_stacks(f"projector '{self.name}'", student, teacher)
        teacher = teacher.detach()
        weights = self.weights(student, teacher)
        check_weights(f"projector '{self.name}'", weights, student, teacher)
        return Projection(mix(weights, teacher), weights)

    @abstractmethod
    def weights(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The share of each teacher layer.

        Args:
            student: Shape (S, units, D), floating, checked.
            teacher: Shape (T, units, D), checked and detached.

        Returns:
            Shape (S, T, units), dtype of `student`; ≥ 0 and summing to 1 over T.
        """

    def on_progress(self, fraction: float) -> None:
        """Learn how far the phase is, 0 ≤ fraction < 1. Called before every training step; the default does nothing.

        What a projector keeps must follow from `fraction` alone, so that a resumed run is the same run.
        """


def mix(weights: Tensor, teacher: Tensor) -> Tensor:
    """Weighted mean of teacher layers: Σ_t weights[s, t, u] · teacher[t, u, :].

    Args:
        weights: Shape (S, T, units).
        teacher: Shape (T, units, D).

    Returns:
        Shape (S, units, D).
    """
    return torch.bmm(weights.permute(2, 0, 1), teacher.permute(1, 0, 2)).permute(1, 0, 2)
