"""Methods that put classifiers on intermediate layers, as Universal-KD does, but without attention: DIH and MHKD."""

from __future__ import annotations

from ukd_core import Method, Phase, TermSpec

_CHECKED = "all losses against float64 oracles from the formula (`tests/conformance/test_shipped_terms.py`)."

DIH = Method(
    name="dih",
    summary="labels, and the answers of all teacher layers and of its classifier alike",
    source=(
        "Asadian, Salehi-Abari, Distilling Knowledge via Intermediate Classifiers, 2021, "
        "https://arxiv.org/abs/2103.00497: the mean over heads of 0.9 times the label loss and 0.1 times the "
        "divergence at temperature 5, as in the authors' code. Ours: a head on every layer, fitted to its optimum."
    ),
    checked=_CHECKED,
    phases=(Phase(name="distil", terms=(
        TermSpec(term="hard-label", weight=0.9),
        TermSpec(term="logit-kd", weight=0.1, options={
            "projector": "fixed:strategy=uniform", "matching": "losses", "temperature": 5.0}),
    )),),
)

MHKD = Method(
    name="mhkd",
    summary="labels and answers, for the student's classifier and for pseudo heads of paired layers",
    source=(
        "Wang, Lohit, Jones, Fu, Multi-head Knowledge Distillation for Model Compression, 2020, "
        "https://arxiv.org/abs/2012.02911. Ours: linear heads, evenly spaced pairs of layers, equal weights."
    ),
    checked=_CHECKED,
    phases=(Phase(name="distil", terms=(
        TermSpec(term="hard-label", weight=1 / 3),
        TermSpec(term="logit-kd", weight=1 / 3),
        TermSpec(term="supervised-layer-kd", weight=1 / 3, options={"projector": "fixed:strategy=skip"}),
    )),),
)
