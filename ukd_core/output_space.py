"""What a score means: the link function, the divergence, the metrics and the label names of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


class OutputSpace(ABC):
    """The scores that teacher and student agree on, whatever their architectures.

    Built once a run, from the labels of the data. `logits` always has the shape (..., units, C), C = `size`;
    functions work on any leading axes, so that all layers are scored in one call.

    Args:
        labels: Name of each score, in the order of the last axis of the logits.
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    problem_type: ClassVar[str]
    """The value that Hugging Face models keep as `config.problem_type`."""
    shift_invariant: ClassVar[bool]
    """True where adding one constant to all scores of a unit changes no answer (softmax)."""
    primary_metric: ClassVar[str]
    """The metric that picks the best checkpoint unless a run names another; greater is better."""
    errors: ClassVar[frozenset[str]] = frozenset()
    """Metrics of which less is better; nothing is picked by them."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels: tuple[str, ...] = tuple(labels)
        self.metric = self.primary_metric
        """The metric that picks the best checkpoint and that methods are compared on."""

    @property
    def size(self) -> int:
        """C, the number of scores of a unit."""
        return len(self.labels)

    @cached_property
    def places(self) -> Mapping[str, int]:
        """By the name of a score its place in the last axis of the logits."""
        return {label: place for place, label in enumerate(self.labels)}

    @classmethod
    @abstractmethod
    def label_names(cls, values: Sequence[Any]) -> tuple[str, ...]:
        """The label names that the values of a label column imply; called when nobody names the labels.

        Args:
            values: Raw, non-missing values of the label column, repeats included.
        """

    @abstractmethod
    def encode(self, value: Any) -> Any:
        """One raw, non-missing label as the model is trained on it.

        Raises:
            ValueError: a label outside `labels`.
        """

    @property
    @abstractmethod
    def missing(self) -> Any:
        """The encoded label of an unlabelled unit."""

    @abstractmethod
    def is_labelled(self, labels: Tensor) -> Tensor:
        """Which units have a label.

        Args:
            labels: As `encode` gives them, shape (units,) or (units, C).

        Returns:
            Shape (units,), bool.
        """

    @abstractmethod
    def label_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Loss of each unit against its label, nats (or squared units for regression).

        Args:
            logits: Shape (..., units, C), floating.
            labels: Shape (units,) or (units, C), no missing label among them.

        Returns:
            Shape (..., units).
        """

    @abstractmethod
    def divergence(self, teacher: Tensor, student: Tensor, temperature: float = 1.0) -> Tensor:
        """How far the student's answer is from the teacher's, with the T² factor that keeps gradients comparable.

        Args:
            teacher: Logits, shape (..., units, C), floating; no gradient is taken through it by callers.
            student: Logits of the same shape.
            temperature: T > 0; both sides are divided by it before the link.

        Returns:
            Shape (..., units), nats (or squared units for regression); 0 where both agree.
        """

    @abstractmethod
    def predictions(self, logits: Tensor) -> Tensor:
        """The answer for each unit, comparable with encoded labels. Shape (..., units) or (..., units, C)."""

    @abstractmethod
    def describe(self, logits: Tensor) -> list[dict[str, Any]]:
        """The answer for each unit in words, for people and JSON. `logits` has the shape (units, C)."""

    @abstractmethod
    def metrics(self, predictions: np.ndarray, labels: np.ndarray) -> Mapping[str, float]:
        """Scores under evaluate's names, finite also where all answers are the same; without missing units.

        Args:
            predictions: As `predictions` gives them, shape (units,) or (units, C).
            labels: Encoded labels, shape (units,) or (units, C).
        """

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.labels == getattr(other, "labels", None)

    def __hash__(self) -> int:
        return hash((type(self), self.labels))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(labels={list(self.labels)})"
