"""Methods in which the teacher's answer grows while the student trains: Annealing-KD and Continuation-KD."""

from __future__ import annotations

from ukd_core import Method, Phase, TermSpec

_CHECKED = (
    "the loss against a float64 oracle from the formula (`tests/conformance/test_shipped_terms.py`), temperatures in "
    "`tests/core/test_schedules.py`, weights in `tests/core/test_methods.py`."
)

ANNEALING_KD = Method(
    name="annealing-kd",
    summary="raw scores of a teacher whose scores grow to their own size, then labels alone",
    source=(
        "Jafari, Rezagholizadeh, Sharma, Ghodsi, Annealing Knowledge Distillation, EACL 2021. Seven temperatures and "
        "the shares of the phases (14 and 4 passes) are those of the authors' runs on GLUE. Ours: the temperature "
        "falls after equal parts of the phase."
    ),
    checked=_CHECKED,
    phases=(
        Phase(name="distil", share=0.78, terms=(TermSpec(term="annealed-scores", options={"temperatures": 7}),)),
        Phase(name="finetune", share=0.22, start="best", terms=(TermSpec(term="hard-label"),)),
    ),
)

_JUMP = 2 / 3
"""Progress at which the labels take over alone: pass 20 of 30 in the paper's runs on GLUE."""

CONTINUATION_KD = Method(
    name="continuation-kd",
    summary="from raw scores of a growing teacher, with a margin, gradually to labels alone",
    source=(
        "Jafari, Kobyzev, Rezagholizadeh, Poupart, Ghodsi, Continuation KD: Improved Knowledge Distillation through "
        "the Lens of Continuation Optimization, Findings of EMNLP 2022, https://arxiv.org/abs/2212.05998. Ten "
        "temperatures and the weight of the labels, i/40 to pass 20 of 30 and then 1, are the paper's for GLUE; the "
        "margin is not in its text, 1 follows the GLMKD implementation. Ours: the temperature falls after equal parts "
        "of the phase."
    ),
    checked=_CHECKED,
    phases=(Phase(name="distil", terms=(
        TermSpec(term="hard-label", weight=((0.0, 0.0), (_JUMP, 0.5), (_JUMP, 1.0))),
        TermSpec(term="annealed-scores", weight=((0.0, 1.0), (_JUMP, 0.5), (_JUMP, 0.0)),
                 options={"temperatures": 10, "margin": 1.0}),
    )),),
)
