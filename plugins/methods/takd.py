"""Teacher assistants: a model of medium size learns from the teacher and teaches the student."""

from __future__ import annotations

from ukd_core import Method

from .logit_kd import LOGIT_KD

TAKD = Method(
    name="takd",
    summary="as logit-kd, from an assistant that the teacher taught by logit-kd",
    source=(
        "Mirzadeh, Farajtabar, Li, Levine, Matsukawa, Ghasemzadeh, Improved Knowledge Distillation via Teacher "
        "Assistant, AAAI 2020. One assistant; the paper has chains of several as well, and finds that the size does "
        "best whose score is midway between teacher and student. Ours: it has half of the teacher's layers, as copies "
        "where the adapter can, unless the run names others; weights and temperature are those of logit-kd."
    ),
    checked=(
        "the layers of the assistants in `tests/core/test_assistants.py`, who teaches whom, and that assistants are "
        "trained once, in `tests/integration/test_chains.py`; losses as logit-kd."
    ),
    phases=LOGIT_KD.phases,
    assistants=1,
)
