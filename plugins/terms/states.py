"""The teacher's pooled states, as terms take them."""

from __future__ import annotations

from torch import Tensor

from ukd_core import TermInput
from ukd_core.errors import InputError


def teacher_states(batch: TermInput, like: Tensor, term: str) -> list[Tensor]:
    """The state of each teacher layer, (units, width_l), in dtype and on the device of `like`; no gradient.

    Raises:
        InputError: nobody gave the run a teacher.
    """
    if batch.teacher_states is None:
        raise InputError(f"term '{term}'", "expected the teacher's states in the batch, got none",
                         "Give the run a teacher, or leave this term out.")
    return [states.detach().to(like) for states in batch.teacher_states]
