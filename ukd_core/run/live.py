"""A teacher that runs while the student trains, for terms that compare the two token by token."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from ukd_core.errors import InputError
from ukd_core.layer_source import SHOWABLE, Batch, LayerSource, LayerStates
from ukd_core.run.rows import TokenizedRows, tokenize_data

if TYPE_CHECKING:
    from ukd_core.method import Phase
    from ukd_core.plugins import Registry
    from ukd_core.ragged import Ragged
    from ukd_core.run.data import TaskData

Side = Literal["student", "teacher"]
IN_WORDS = {"tokens": "states of single tokens", "attentions": "attention maps", "embeddings": "token embeddings"}
"""What a model shows when asked, for messages."""


@dataclass
class LiveTeacher:
    """A frozen teacher beside the student. It belongs to no module, so no checkpoint and no optimizer holds it."""

    source: LayerSource
    """Put on the student's device while a phase needs it."""
    rows: TokenizedRows
    """The training rows as the teacher reads them: the student's tokens, with ids of the teacher's whole table."""
    rows_forwarded: int = 0
    """Rows that it read in training steps of this process and its fellows."""

    def __post_init__(self) -> None:
        self.source.requires_grad_(False).eval()

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def show(self, batch: Batch, needs: frozenset[str]) -> LayerStates:
        """What the teacher shows of a batch, without gradients; called once a training step.

        Args:
            batch: Rows of `rows`, padded, on the device of the model.
            needs: As `LayerSource.forward` takes it.
        """
        with torch.no_grad():  # tensors of inference mode could not be kept for the student's backward pass
            states: LayerStates = self.source(batch, needs)
        return states


def needs_of(phase: Phase, registry: Registry) -> frozenset[str]:
    """Everything that the terms of a phase need."""
    return frozenset(need for spec in phase.terms for need in registry.terms.lookup(spec.term).needs)


def shown(side: Side, needs: Iterable[str]) -> frozenset[str]:
    """What a side has to show in every training step."""
    asked = frozenset(needs)
    return frozenset(what for what in SHOWABLE if f"{side}-{what}" in asked)


def runs_live(phases: Iterable[Phase], registry: Registry) -> bool:
    """Whether the teacher runs in some of these phases."""
    return any(shown("teacher", needs_of(phase, registry)) for phase in phases)


def check_shown(where: str, phases: Iterable[Phase], registry: Registry, *, student: type[LayerSource],
                teacher: type[LayerSource]) -> None:
    """Refuse adapters that cannot show what the phases compare; called before any model is read.

    Args:
        where: The method, for the message.
        phases: Its phases.
        registry: Where terms and adapters are registered.
        student: Adapter of the student.
        teacher: Adapter of the teacher.

    Raises:
        InputError: one of them has no attention maps, say.
    """
    needs = [need for phase in phases for need in needs_of(phase, registry)]
    sides: tuple[tuple[Side, type[LayerSource]], ...] = (("student", student), ("teacher", teacher))
    for side, kind in sides:
        for what in sorted(shown(side, needs)):
            if not getattr(kind, f"{what}_available"):
                others = [name for name, other in registry.layer_sources.items() if getattr(other, f"{what}_available")]
                raise InputError(where, f"expected a {side} with {IN_WORDS[what]}, got adapter '{kind.name}'",
                                 f"Choose a {side} that has them ({', '.join(others)}), or another method.")


def same_rows(where: str, teacher: LayerSource, student: LayerSource, data: TaskData, max_length: int, cache: Path
              ) -> TokenizedRows:
    """The training rows as the teacher reads them, which are those of the student token by token.

    Called as soon as both tokenizers are known, before the teacher learns or answers anything, and again with the
    teacher that then runs.

    Args:
        where: The method, for the message.
        teacher: Any model with the teacher's tokenizer.
        student: The student before its vocabulary is trimmed.
        data: Texts or pairs.
        max_length: Longest row in tokens.
        cache: The cache folder.

    Raises:
        InputError: some row has other tokens.
    """
    own, given = (tokenize_data(source, data, max_length, cache)["train"] for source in (student, teacher))
    refuse_other_tokens(where, own, given)
    return given


def refuse_other_tokens(where: str, own: TokenizedRows, given: TokenizedRows) -> None:
    """Compare the same rows as a student and a teacher read them.

    Args:
        where: The method, for the message.
        own: As the student reads them.
        given: As the teacher reads them.

    Raises:
        InputError: some row has other tokens.
    """
    if not _same_tokens(own.ragged, given.ragged):
        raise InputError(where, f"expected a student that reads the teacher's tokens, got adapter "
                                f"'{own.source.name}' and adapter '{given.source.name}' with different "
                                "tokens",
                         "Give the student the teacher's tokenizer (one of the teacher's kind, or vocabulary=teacher) "
                         "and both a --max-length that they can read, or choose another method.")


def _same_tokens(one: Ragged, other: Ragged) -> bool:
    return one.lengths().equal(other.lengths()) and one.columns["input_ids"].equal(other.columns["input_ids"])
