"""Universal-KD: layers matched in the output space, in its two-phase, one-phase and teacher-assistant forms."""

from __future__ import annotations

from ukd_core import Method, Phase, TermSpec

_PAPER = (
    "Wu, Rezagholizadeh, Ghaddar, Haidar, Ghodsi, Universal-KD: Attention-based Output-Grounded Intermediate Layer "
    "Knowledge Distillation, EMNLP 2021, https://aclanthology.org/2021.emnlp-main.603. "
)
_OURS = (
    "The paper's text was not at hand: weights, temperature 1 and the choice of layers follow the GLMKD "
    "implementation. Ours: teacher heads are fitted first and frozen, heads have a bias, scores are centred before "
    "the attention, which goes by cosine instead of dot product (`universal-kd@attention` has that), pooling is "
    "masked, and the shares of the phases."
)

_CHECKED = (
    "all losses and the attention against float64 oracles (`tests/conformance/test_shipped_terms.py`), phases and "
    "weights in `tests/core/test_methods.py`. No run of the authors was at hand to compare with."
)

_FINETUNE = Phase(name="finetune", share=0.25, start="best", terms=(TermSpec(term="hard-label"),))

UNIVERSAL_KD = Method(
    name="universal-kd",
    summary="final answer and attention over all teacher layers without labels, then labels alone",
    source=_PAPER + _OURS,
    checked=_CHECKED,
    phases=(
        Phase(name="distil", share=0.75, terms=(
            TermSpec(term="logit-kd", weight=0.5),
            TermSpec(term="layer-kd", weight=0.5),
        )),
        _FINETUNE,
    ),
)

UNIVERSAL_KD_LOSSES = Method(
    name="universal-kd-losses",
    summary="as universal-kd, with the attention over the losses of all pairs of layers instead of over scores",
    source=_PAPER + _OURS + " The paper has this form as an ablation; its formula is inferred.",
    checked=_CHECKED,
    phases=(
        Phase(name="distil", share=0.75, terms=(
            TermSpec(term="logit-kd", weight=0.5),
            TermSpec(term="layer-kd", weight=0.5, options={"matching": "losses"}),
        )),
        _FINETUNE,
    ),
)

UNIVERSAL_KD_SINGLE_PHASE = Method(
    name="universal-kd-single-phase",
    summary="labels, final answer and attention over all teacher layers at once, a third each",
    source=_PAPER + _OURS + " One phase with equal weights is ours, after the three-part losses of ALP-KD and RAIL-KD.",
    checked=_CHECKED,
    phases=(Phase(name="distil", terms=tuple(
        TermSpec(term=term, weight=1 / 3) for term in ("hard-label", "logit-kd", "layer-kd"))),),
)

UNIVERSAL_KD_TA = Method(
    name="universal-kd-ta",
    summary="the teacher's shallow layers as teacher assistants of the final answer, then labels alone",
    source=(
        _PAPER + "The variant for a wide gap in capacity (pseudo teacher assistants), after Mirzadeh et al., AAAI "
        "2020. The paper's text was not at hand: the fused form is inferred; weights follow the GLMKD implementation. "
        "Ours: layers join from shallow to deep during the first half of the phase, fitted and frozen teacher heads, "
        "centred scores, and the shares of the phases."
    ),
    checked=_CHECKED,
    phases=(
        Phase(name="distil", share=0.75, terms=(
            TermSpec(term="logit-kd", weight=0.5),
            TermSpec(term="logit-kd", weight=0.5, label="assistant-kd", options={"projector": "teacher-assistant"}),
        )),
        _FINETUNE,
    ),
)
