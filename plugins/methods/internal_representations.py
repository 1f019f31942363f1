"""PID and SID: attention and pooled states, one layer after another from the bottom, then labels and the answer."""

from __future__ import annotations

from ukd_core import Method, Phase, TermSpec


def _phases(schedule: str) -> tuple[Phase, ...]:
    """The internal phase, in which layers come in turn, and the phase of answers."""
    options = {"projector": "fixed:strategy=even", "schedule": schedule}
    return (
        Phase(name="internal", share=0.75, terms=(
            TermSpec(term="attention-map", weight=0.5, options={**options, "distance": "kl"}),
            TermSpec(term="pooled-cosine", weight=0.5, options=options),
        )),
        # The classifier has learnt nothing yet, so no checkpoint of the first phase is better than its last.
        Phase(name="answers", share=0.25, start="last", terms=(
            TermSpec(term="hard-label", weight=0.5), TermSpec(term="logit-kd", weight=0.5))),
    )


PID = Method(
    name="pid",
    summary="attention and pooled states of one layer after another, bottom-up, then labels and final answer",
    source=(
        "Aguilar, Ling, Zhang, Yao, Fan, Guo, Knowledge Distillation from Internal Representations, AAAI 2020, "
        "https://arxiv.org/abs/1910.03723 (progressive internal distillation). The paper's text was not at hand: "
        "means over heads and rows are recalled. Ours: a layer has an equal part of the phase (the paper's cap on "
        "passes; not its threshold on the cosine loss), weights, shares, pooling by the adapter instead of the first "
        "token, and a linear map where widths differ."
    ),
    checked=(
        "both losses against float64 oracles from the formula (`tests/conformance/test_live_terms.py`), the schedule "
        "step by step in `tests/core/test_live_schedules.py`. No run of the authors was at hand to compare with."
    ),
    phases=_phases("progressive"),
)

SID = PID.model_copy(update={
    "name": "sid",
    "summary": "as pid, with the layers below staying in the sum",
    "source": PID.source.replace("progressive internal", "stacked internal"),
    "phases": _phases("stacked"),
})
