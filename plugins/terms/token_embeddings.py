"""Embeddings of the tokens of a text drawn to the teacher's (TinyBERT)."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn

from ukd_core import Term, TermInput, TermSetup, at_least_float32, full_precision
from ukd_core.errors import InputError

from .token_hidden import token_distance


@final
class TokenEmbeddingsTerm(Term):
    """Mean over units of the mean over their tokens t of ‖P e_S[t] − e_T[t]‖² / width; padding does not count.

    Embeddings are what the first hidden layer reads. P is a linear map that learns with the student, and is none where
    the widths agree. Units without a label take part as well.

    Source: the embedding loss of TinyBERT (Jiao et al., Findings of EMNLP 2020, https://arxiv.org/abs/1909.10351).
    Ours: a mean unit by unit instead of over the padded batch.
    """

    name = "token-embeddings"
    summary = "token embeddings drawn to the teacher's, which runs in training (TinyBERT)"
    needs = frozenset({"student-embeddings", "teacher-embeddings"})

    def __init__(self, options: Any, setup: TermSetup) -> None:
        super().__init__(options, setup)
        own, width = setup.student_embedding_width, setup.teacher_embedding_width
        if own is None or width is None:
            raise self._missing()
        self.student_map = nn.Identity() if own == width else nn.Linear(own, width)

    def forward(self, batch: TermInput) -> Tensor:
        """The loss of a batch, shape (); squared features."""
        student, teacher = batch.student, batch.teacher
        if student.embeddings is None or student.mask is None or teacher is None or teacher.embeddings is None:
            raise self._missing()
        with full_precision(batch.student.logits):
            own = self.student_map(at_least_float32(student.embeddings))
            return token_distance(own, teacher.embeddings.detach().to(own), student.mask).mean()

    def _missing(self) -> InputError:
        return InputError(f"term '{self.name}'", "expected embeddings of student and teacher, got none",
                          "Give the run a teacher, or leave this term out.")
