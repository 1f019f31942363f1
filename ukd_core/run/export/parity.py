"""Whether an exported model answers as the model that it was made from, on real rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ukd_core.errors import ParityError
from ukd_core.run.trainer import evaluate_scores

if TYPE_CHECKING:
    from ukd_core.output_space import OutputSpace
    from ukd_core.run.answer import StoredModel

TOLERANCE = 1e-4
"""Largest difference of scores in float32, as a share of the largest score (of 1 where all are smaller)."""


@dataclass(frozen=True)
class Rows:
    """Texts that both models answer."""

    texts: list[str]
    pairs: list[str] | None
    labels: Tensor | None
    """Encoded labels, shape (rows,) or (rows, C); None where nobody knows any."""
    what: str
    """Where they come from, for people."""


@dataclass(frozen=True)
class Parity:
    """Two models' answers to the same rows."""

    rows: int
    what: str
    difference: float
    """Largest difference of scores."""
    scale: float
    """Largest score of the original, at least 1."""
    agreement: float | None
    """Share of rows whose answer (all labels, for several) is the same; None where answers are measured."""
    metric: str
    before: float | None
    """The metric of the original; None where no row has a label."""
    after: float | None

    @property
    def exact(self) -> bool:
        """Whether all answers are the same and no score differs by more than rounding."""
        return self.difference <= TOLERANCE * self.scale and self.agreement in (None, 1.0)

    def __str__(self) -> str:
        parts = [f"{self.rows} rows ({self.what}): largest difference of scores {self.difference:.2g}"]
        if self.agreement is not None:
            parts.append("all answers equal" if self.agreement == 1.0 else
                         f"{self.agreement:.2%} of the answers equal")
        if self.before is not None and self.after is not None:
            parts.append(f"{self.metric} {self.before:.4f} before, {self.after:.4f} after")
        return ", ".join(parts)

    def facts(self) -> Mapping[str, Any]:
        """For JSON."""
        return {"rows": self.rows, "rows_from": self.what, "largest_difference": self.difference,
                "equal_answers": self.agreement, "metric": self.metric, "before": self.before, "after": self.after}


def compare_answers(before: Tensor, after: StoredModel, rows: Rows) -> Parity:
    """Ask the exported model for what the original answered.

    Args:
        before: Scores of the original, shape (rows, C).
        after: The exported model.
        rows: What both are asked.
    """
    space, scores = after.space, after.answer(rows.texts, rows.pairs)
    difference = (scores - before).abs().max().item()
    known = [{} if rows.labels is None else evaluate_scores(given, rows.labels, space) for given in (before, scores)]
    return Parity(len(rows.texts), rows.what, difference, max(1.0, before.abs().max().item()),
                  _agreement(before, scores, space), space.metric, *(found.get(space.metric) for found in known))


def refuse_unequal(where: str, parity: Parity) -> None:
    """Stop an export whose answers are not those of the original.

    Raises:
        ParityError: a score or an answer differs; exit status 1.
    """
    if not parity.exact:
        raise ParityError(where, f"expected the answers of the original, got others on {parity}",
                          "Nothing was written; please report this model.")


def _agreement(before: Tensor, after: Tensor, space: OutputSpace) -> float | None:
    if space.problem_type == "regression":
        return None
    same = torch.eq(space.predictions(before), space.predictions(after))
    return same.reshape(len(same), -1).all(dim=1).float().mean().item()
