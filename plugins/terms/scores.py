"""What the teacher's terms share: reading the teacher's scores beside the student's."""

from __future__ import annotations

from torch import Tensor

from ukd_core import TermInput
from ukd_core.errors import InputError


def teacher_scores(batch: TermInput, student: Tensor, term: str) -> Tensor:
    """The teacher's scores in dtype and device of the student's, shape (T + 1, units, C).

    Args:
        batch: The batch that a term sees.
        student: Any scores of the student, any shape.
        term: Name of the term that asks, for the error.

    Raises:
        InputError: the batch has none.
    """
    if batch.teacher_scores is None:
        raise InputError(f"term '{term}'", "expected teacher scores in the batch, got none",
                         "Give the run a teacher, or leave this term out.")
    return batch.teacher_scores.detach().to(student)
