"""No distillation: the student learns from the labels alone."""

from __future__ import annotations

from ukd_core import Method, Phase, TermSpec

NONE = Method(
    name="none",
    summary="no distillation: the student learns from the labels alone",
    source="Plain fine-tuning; the baseline that every method is compared with.",
    checked="the label loss against a float64 oracle (`tests/conformance/test_shipped_terms.py`).",
    phases=(Phase(name="finetune", terms=(TermSpec(term="hard-label"),)),),
)
