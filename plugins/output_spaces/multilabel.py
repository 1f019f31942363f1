"""The space of any number of labels out of C: a sigmoid for each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from ukd_core import OutputSpace, at_least_float32

from .classes import index_of, names_of

if TYPE_CHECKING:
    import numpy as np


@final
class MultilabelSpace(OutputSpace):
    """Each of C labels holds or does not, by a sigmoid of its score.

    Divergence: T² · Σ_c KL(Bernoulli(σ(teacher_c / T)) ‖ Bernoulli(σ(student_c / T))) in nats, computed from
    log-sigmoids in float32 at least: exactly 0 for equal logits, finite for ±1e4.
    """

    name = "multilabel"
    summary = "any of C labels: a sigmoid and a Bernoulli KL each"
    problem_type = "multi_label_classification"
    shift_invariant = False
    primary_metric = "f1_macro"

    @classmethod
    def label_names(cls, values: Sequence[Any]) -> tuple[str, ...]:
        """The labels that occur in any value (a list, or text: "a|b", "a,b", "[]"), ordered as for `classes`."""
        return names_of([label for value in values for label in _parts(value)])

    def encode(self, value: Any) -> list[float]:
        """A value as C zeros and ones: a list of names or indices, or their text; an empty list is no label.

        Text has its labels between bars, "a|b", or without a bar between commas, "a,b"; "[]" is the empty list.

        Raises:
            ValueError: a label outside of `labels`.
        """
        whole_text = isinstance(value, str) and value in self.places
        chosen = {index_of(part, self.places) for part in ([value] if whole_text else _parts(value))}
        return [float(index in chosen) for index in range(self.size)]

    @property
    def missing(self) -> list[float]:
        """NaN for every label."""
        return [math.nan] * self.size

    def is_labelled(self, labels: Tensor) -> Tensor:
        """True where no entry is NaN. Shape (units, C) to (units,)."""
        return ~labels.isnan().any(dim=-1)

    def label_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Σ_c binary cross entropy, nats. Shapes (..., units, C), (units, C) to (..., units)."""
        scores = at_least_float32(logits)
        targets = labels.to(scores.dtype).expand_as(scores)
        return binary_cross_entropy_with_logits(scores, targets, reduction="none").sum(dim=-1)

    def divergence(self, teacher: Tensor, student: Tensor, temperature: float = 1.0) -> Tensor:
        """T² times the sum of the Bernoulli divergences, nats. Shapes (..., units, C) to (..., units)."""
        t, s = at_least_float32(teacher) / temperature, at_least_float32(student) / temperature
        holds = t.sigmoid() * (logsigmoid(t) - logsigmoid(s))
        holds_not = (-t).sigmoid() * (logsigmoid(-t) - logsigmoid(-s))
        return temperature**2 * (holds + holds_not).sum(dim=-1)

    def predictions(self, logits: Tensor) -> Tensor:
        """1 where a label holds (score above 0, probability above ½), int64. Shape (..., units, C), kept."""
        return (logits > 0).long()

    def describe(self, logits: Tensor) -> list[dict[str, Any]]:
        """The `labels` that hold for each unit, and the probabilities of all (`scores`)."""
        rows = zip(self.predictions(logits).tolist(), at_least_float32(logits).sigmoid().tolist(), strict=True)
        return [{"labels": [name for name, holds in zip(self.labels, held, strict=True) if holds],
                 "scores": dict(zip(self.labels, shares, strict=True))} for held, shares in rows]

    def metrics(self, predictions: np.ndarray, labels: np.ndarray) -> Mapping[str, float]:
        """F1 over all decisions (`f1_micro`), its mean over labels (`f1_macro`), and rows wholly right (`accuracy`)."""
        from .metrics import F1, Accuracy, score

        micro, macro = (score(F1("multilabel", average=average), predictions, labels)["f1"]
                        for average in ("micro", "macro"))
        return {"f1_micro": micro, "f1_macro": macro, **score(Accuracy("multilabel"), predictions, labels)}


def _parts(value: Any) -> list[Any]:
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("[") and text.endswith("]"):  # a list as a CSV cell has it: [], ['a', 'b'], ["a", "b"]
            text = text[1:-1].replace("'", "").replace('"', "")
        return [part.strip() for part in text.split("|" if "|" in text else ",") if part.strip()]
    return list(value) if isinstance(value, Iterable) else [value]
