"""The space of one class out of C: softmax scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, final

from torch import Tensor

from ukd_core import OutputSpace, at_least_float32

if TYPE_CHECKING:
    import numpy as np

MOST_NAMES = 20
"""Label names that an error tells."""


@final
class ClassesSpace(OutputSpace):
    """One answer out of C classes.

    Divergence: T² · KL(softmax(teacher / T) ‖ softmax(student / T)) in nats (Hinton et al., Distilling the Knowledge
    in a Neural Network, 2015, https://arxiv.org/abs/1503.02531; T² keeps the gradient's size when T changes).
    Computed from log-softmax of both sides in float32 at least: exactly 0 for equal logits, finite for ±1e4.
    """

    name = "classes"
    summary = "one of C classes: softmax, KL"
    problem_type = "single_label_classification"
    shift_invariant = True
    primary_metric = "accuracy"
    missing = -100

    @classmethod
    def label_names(cls, values: Sequence[Any]) -> tuple[str, ...]:
        """Names in a steady order: counted from "0", else by number, else by alphabet.

        Whole numbers that fill more than half of 0..max name all of "0".."max", so that a class which the training
        rows happen to lack keeps its index. Other numbers, also as text, are sorted by value, everything else as text.
        """
        lists = next((value for value in values if isinstance(value, list)), None)
        if lists is not None:
            raise ValueError(f"label {lists!r} is a list, where one class is expected")
        return names_of(values)

    def encode(self, value: Any) -> int:
        """The index of a label: by its name first; a whole number that is no name is taken as the index.

        Raises:
            ValueError: neither a name nor an index of `labels`.
        """
        return index_of(value, self.places)

    def is_labelled(self, labels: Tensor) -> Tensor:
        """True where the label is not -100. Shape (units,) to (units,)."""
        return labels != self.missing

    def label_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy −log softmax(logits)[label], nats. Shapes (..., units, C), (units,) to (..., units)."""
        chosen = labels.expand(logits.shape[:-1]).unsqueeze(-1)
        return -at_least_float32(logits).log_softmax(dim=-1).gather(-1, chosen).squeeze(-1)

    def divergence(self, teacher: Tensor, student: Tensor, temperature: float = 1.0) -> Tensor:
        """T² · Σ_c p_c (log p_c − log q_c), p the teacher's answer, q the student's. Returns (..., units), nats."""
        if temperature == 1.0:
            return _kl(at_least_float32(teacher), at_least_float32(student))
        return temperature**2 * _kl(at_least_float32(teacher) / temperature, at_least_float32(student) / temperature)

    def predictions(self, logits: Tensor) -> Tensor:
        """The index of the greatest score, int64. Shape (..., units, C) to (..., units)."""
        return logits.argmax(dim=-1)

    def describe(self, logits: Tensor) -> list[dict[str, Any]]:
        """Label, its probability (`score`) and all probabilities (`scores`) of each unit."""
        answers = []
        for shares in at_least_float32(logits).softmax(dim=-1).tolist():
            best = max(range(self.size), key=shares.__getitem__)
            answers.append({"label": self.labels[best], "score": shares[best],
                            "scores": dict(zip(self.labels, shares, strict=True))})
        return answers

    def metrics(self, predictions: np.ndarray, labels: np.ndarray) -> Mapping[str, float]:
        """Accuracy, F1 and Matthews correlation.

        `f1` is that of label 1 where there are two classes (as GLUE counts it), else `f1_macro` is the mean over
        classes.
        """
        from .metrics import F1, Accuracy, MatthewsCorrelation, score

        binary = self.size == 2
        f1 = score(F1(average="binary" if binary else "macro"), predictions, labels)["f1"]
        return {**score(Accuracy(), predictions, labels), "f1" if binary else "f1_macro": f1,
                **score(MatthewsCorrelation(), predictions, labels)}


def names_of(values: Sequence[Any]) -> tuple[str, ...]:
    """Names of the distinct values, in the order that `ClassesSpace.label_names` states."""
    distinct = {whole if (whole := as_whole(value)) is not None else value for value in values}
    numbers = {value for value in distinct if isinstance(value, int) and not isinstance(value, bool)}
    if numbers == distinct and numbers and min(numbers) == 0 and 2 * len(numbers) > max(numbers) + 1:
        return tuple(str(number) for number in range(max(numbers) + 1))
    return tuple(sorted({str(value) for value in distinct}, key=_rank))


def index_of(value: Any, places: Mapping[str, int]) -> int:
    """The index of a label by `OutputSpace.places`: by name first, then a whole number as the index itself.

    Raises:
        ValueError: neither a name nor an index.
    """
    whole = int(value) if isinstance(value, bool) else as_whole(value)
    for name in (str(value), str(whole)):
        if name in places:
            return places[name]
    if whole is not None and 0 <= whole < len(places):
        return whole
    raise ValueError(none_of(value, places))


def none_of(value: Any, names: Iterable[str]) -> str:
    """That a label is none of the names, of which the first are told."""
    known = list(names)
    more = f" and {len(known) - MOST_NAMES:,} more" if len(known) > MOST_NAMES else ""
    return f"label {value!r} is none of {known[:MOST_NAMES]}{more}"


def as_whole(value: Any) -> int | None:
    """A whole number (1, 1.0, NumPy's) as `int`; None for everything else, also for booleans and text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, Integral):
        return int(value)
    return int(float(value)) if isinstance(value, Real) and float(value).is_integer() else None


def _rank(name: str) -> tuple[bool, float, str]:
    try:
        return (False, float(name), name)
    except ValueError:
        return (True, 0.0, name)


def _kl(teacher: Tensor, student: Tensor) -> Tensor:
    p, q = teacher.log_softmax(dim=-1), student.log_softmax(dim=-1)
    return (p.exp() * (p - q)).sum(dim=-1)
