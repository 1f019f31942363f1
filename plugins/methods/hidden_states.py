"""Methods that match hidden states: PKD, ALP-KD, CKD and RAIL-KD."""

from __future__ import annotations

from typing import Any

from ukd_core import Method, Phase, TermSpec


def _one_phase(labels: float, answer: float, hidden: float, **options: Any) -> tuple[Phase, ...]:
    """Labels, the teacher's answer and hidden states at once, with their weights."""
    return (Phase(name="distil", terms=(
        TermSpec(term="hard-label", weight=labels), TermSpec(term="logit-kd", weight=answer),
        TermSpec(term="hidden", weight=hidden, options=options))),)


_CHECKED = (
    "the loss against a float64 oracle from the formula (`tests/conformance/test_shipped_terms.py`, "
    "`tests/core/test_hidden_term.py`), the choice of layers in `tests/core/test_schedules.py`."
)

PKD = Method(
    name="pkd",
    summary="labels, final answer and normalised states of evenly spaced teacher layers",
    source=(
        "Sun, Cheng, Gan, Liu, Patient Knowledge Distillation for BERT Model Compression, EMNLP-IJCNLP 2019 "
        "(PKD-skip). The weights are within the grids of the authors' code (0.5 for the answer, 100 for the states). "
        "Ours: the student's states are mapped linearly where its width differs, pooling is the adapter's."
    ),
    checked=_CHECKED,
    phases=_one_phase(0.5, 0.5, 100.0, projector="fixed:strategy=skip", normalise=True),
)

PKD_LAST = PKD.model_copy(update={
    "name": "pkd-last",
    "summary": "as pkd, with the last teacher layers",
    "source": PKD.source.replace("PKD-skip", "PKD-last"),
    "phases": _one_phase(0.5, 0.5, 100.0, projector="fixed:strategy=last", normalise=True),
})

ALP_KD = Method(
    name="alp-kd",
    summary="labels, final answer and states drawn to an attention-weighted mixture of all teacher layers",
    source=(
        "Passban, Wu, Rezagholizadeh, Liu, ALP-KD: Attention-Based Layer Projection for Knowledge Distillation, AAAI "
        "2021, https://arxiv.org/abs/2012.14022. The weights are within the paper's grid as it is recalled. Ours: the "
        "student's states are mapped linearly where its width differs, pooling is the adapter's."
    ),
    checked=_CHECKED,
    phases=_one_phase(0.3, 0.5, 0.2, projector="attention", include_final=True),
)

CKD = Method(
    name="ckd",
    summary="labels, final answer and states drawn to a learned map of several teacher layers each",
    source=(
        "Wu, Passban, Rezagholizadeh, Liu, Why Skip If You Can Combine: A Simple Knowledge Distillation Technique for "
        "Intermediate Layers, EMNLP 2020, and its published code (regular combination). A method for translation "
        "there; the weights are not in what was at hand: ours are equal. Ours: pooled states instead of states of "
        "every token."
    ),
    checked=_CHECKED,
    phases=(Phase(name="distil", terms=tuple(
        TermSpec(term=term, weight=1 / 3) for term in ("hard-label", "logit-kd", "combined-hidden"))),),
)

_RAIL = (
    "Haidar, Anchuri, Rezagholizadeh, Ghaddar, Langlais, Poupart, RAIL-KD: RAndom Intermediate Layer Mapping for "
    "Knowledge Distillation, Findings of NAACL 2022, https://arxiv.org/abs/2109.10164. Maps learn on both sides, as "
    "there, though they can then agree on saying nothing; `teacher_map=kept` keeps the teacher's as drawn. Ours: "
    "pooling is the adapter's."
)

_RAIL_MAPS = {"width": 128, "shared": True, "teacher_map": "learned", "normalise": True, "distance": "sum"}

RAIL_KD = Method(
    name="rail-kd",
    summary="labels, final answer and normalised states of teacher layers drawn anew in every pass",
    source=_RAIL,
    checked=_CHECKED,
    phases=_one_phase(1 / 3, 1 / 3, 1 / 3, projector="random", **_RAIL_MAPS),
)

RAIL_KD_CONCATENATED = Method(
    name="rail-kd-concatenated",
    summary="as rail-kd, with all layers of a side behind one another",
    source=_RAIL,
    checked=_CHECKED,
    phases=_one_phase(1 / 3, 1 / 3, 1 / 3, projector="random", **_RAIL_MAPS, combine="concatenated"),
)
