"""The contract of a term: one summand of the loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, cast

from torch import Tensor, nn

from ukd_core import spec
from ukd_core.checks import check_loss
from ukd_core.layer_source import LayerStates
from ukd_core.method import TermSpec
from ukd_core.output_space import OutputSpace
from ukd_core.projector import Projector
from ukd_core.pseudo_head import PseudoHead


class MakeProjector(Protocol):
    """Builds the projector of a short form, ``name:key=value``."""

    def __call__(self, spec: str, student_layers: int, teacher_layers: int, width: int | None = None) -> Projector:
        """A projector between so many layers, over scores; with `width` over hidden states of that width."""


@dataclass(frozen=True, slots=True)
class TermSetup:
    """What is known when a term is built."""

    space: OutputSpace
    student_widths: tuple[int, ...]
    """Width of each student layer."""
    teacher_layers: int
    """T, the number of teacher layers with a pseudo head."""
    temperature: float | None
    """The run's temperature where the user gave one, else None: the term's own default."""
    projector: str | None
    """The run's projector where the user named one, else None: the term's own default."""
    make_projector: MakeProjector
    make_head: Callable[[int], PseudoHead]
    """width -> a fresh student head."""
    teacher_widths: tuple[int, ...] = ()
    """Width of each teacher layer; empty where no term of the method asks for the teacher's states."""
    student_embedding_width: int | None = None
    """Width of the student's embeddings; None where it shows none."""
    teacher_embedding_width: int | None = None
    """Width of the teacher's embeddings; None where it shows none or does not run in training."""
    class_weights: Literal["none", "balanced"] = "none"
    """What the run says of the weights of classes in a loss against labels."""
    class_counts: tuple[int, ...] | None = None
    """Labelled training rows of each class; None where an answer is not one of C classes."""


@dataclass(frozen=True, slots=True)
class TermInput:
    """One batch, seen by every term of a phase. Student tensors carry gradients, teacher tensors do not."""

    student: LayerStates
    labels: Tensor
    """Encoded labels, shape (units,) or (units, C); the space's `missing` where a unit has none."""
    labelled: Tensor
    """Which units have a label, shape (units,), bool."""
    teacher_scores: Tensor | None
    """Shape (T + 1, units, C): the pseudo head of each teacher layer in order, last the teacher's own classifier."""
    teacher_states: tuple[Tensor, ...] | None = None
    """Pooled state of each teacher layer, (units, width_l) each; None where no term of the phase asks for them, nor for
    a running teacher."""
    teacher: LayerStates | None = None
    """What the teacher, in evaluation mode, shows of the same tokens: the length and the mask are the student's. None
    where no term of the phase needs anything of a running teacher."""


@dataclass(frozen=True, slots=True)
class TermView:
    """What a term shows of its layers on a batch; either may be missing."""

    scores: Tensor | None = None
    """Of the student's layers that take part, in the output space: shape (S, units, C)."""
    weights: Tensor | None = None
    """The share of each teacher layer in the target of each of them: shape (S, T, units), summing to 1 over T. Teacher
    layers are in order of depth; where the teacher's own classifier takes part it is the last of them."""


class Term(nn.Module, ABC):
    """One summand of the loss. It owns what only it needs: student heads, a projector.

    Built at the start of a phase, called once a training step, thrown away after the phase.

    Args:
        options: An instance of `Options`; None for the defaults.
        setup: The models and the space it is built for.
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    Options: ClassVar[type[spec.Options]] = spec.Options
    needs: ClassVar[frozenset[str]] = frozenset()
    """Of "labels" (units without one teach it nothing) or "known-labels" (they teach it something else);
    "teacher-scores", "teacher-states", which are kept of one pass of the teacher; "student-tokens",
    "student-attentions", "student-embeddings", which the student then shows in `TermInput.student`; and
    "teacher-tokens", "teacher-attentions", "teacher-embeddings", for which the teacher runs in every training step,
    beside a student that reads the same tokens, and shows them in `TermInput.teacher`."""

    def __init__(self, options: Any, setup: TermSetup) -> None:
        super().__init__()
        self.options = options if options is not None else type(self).Options()
        self.space = setup.space

    @classmethod
    def in_output_space(cls, spec: TermSpec) -> tuple[TermSpec, ...]:
        """What takes the place of this term where a method is combined with Universal-KD (``--method NAME+universal``).

        A term that chooses layers of the teacher and matches them elsewhere answers with one that matches the same
        layers in the output space. The default is for all others: they stay as they are.

        Args:
            spec: The term with its weight and options, as the method has it.
        """
        return (spec,)

    @abstractmethod
    def forward(self, batch: TermInput) -> Tensor:
        """The loss of a batch, shape (): a mean over the units that the term applies to, 0 where there are none."""

    def loss(self, batch: TermInput) -> Tensor:
        """What `forward` gives, checked; called by the trainer once a step.

        Raises:
            ShapeError: it is not one number.
        """
        loss = self(batch)
        check_loss(f"term '{self.name}'", loss)
        return cast("Tensor", loss)

    def look(self, batch: TermInput) -> TermView | None:
        """Show which teacher layers each student layer learns from, and what its layers would answer; for reports.

        Called at evaluations on a fixed sample of rows, in evaluation mode and without gradients, for terms that need
        neither the teacher's states nor a running teacher. It must change nothing: no random number is drawn, no state
        is kept. The default shows nothing.

        Args:
            batch: As `forward` takes it.
        """
        return None

    def on_progress(self, fraction: float) -> None:
        """Pass the progress of the phase, 0 ≤ fraction < 1, on to the projector. Called before every step."""
        for module in self.children():
            if isinstance(module, Projector):
                module.on_progress(fraction)
