"""Vanilla distillation of the final answer."""

from __future__ import annotations

from ukd_core import Method, Phase, TermSpec

LOGIT_KD = Method(
    name="logit-kd",
    summary="labels and the teacher's final answer, half and half",
    source=(
        "Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network, 2015, https://arxiv.org/abs/1503.02531. "
        "Ours: weights 0.5 and 0.5 and temperature 1 unless the run names one (the paper tunes both per task); "
        "unlabelled rows learn from the teacher alone."
    ),
    checked="both losses against float64 oracles (`tests/conformance/test_shipped_terms.py`).",
    phases=(Phase(name="distil", terms=(
        TermSpec(term="hard-label", weight=0.5),
        TermSpec(term="logit-kd", weight=0.5),
    )),),
)
