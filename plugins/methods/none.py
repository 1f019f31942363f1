"""No distillation: the student learns from the labels alone."""

from __future__ import annotations

from ukd_core import Method, Phase, TermSpec

NONE = Method(
    name="none",
    summary="no distillation: the student learns from the labels alone",
    source="Plain fine-tuning; the baseline that every method is compared with.",
    phases=(Phase(name="finetune", terms=(TermSpec(term="hard-label"),)),),
)
