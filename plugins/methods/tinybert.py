"""TinyBERT: everything between the embeddings and the classifier, then the teacher's answer."""

from __future__ import annotations

from ukd_core import Method, Phase, TermSpec

_MAP = {"projector": "fixed:strategy=even"}

TINYBERT = Method(
    name="tinybert",
    summary="token embeddings, attention and token states of evenly spaced teacher layers, then the final answer",
    source=(
        "Jiao, Yin, Shang, Jiang, Chen, Li, Wang, Liu, TinyBERT: Distilling BERT for Natural Language Understanding, "
        "Findings of EMNLP 2020, https://arxiv.org/abs/1909.10351: the task-specific stage, without labels; shares "
        "after 10 and 3 passes of the authors' runs. Attention is compared before the softmax, as recalled. Ours: "
        "equal weights, one learning rate for both phases, no data augmentation and no distillation before the task, "
        "attention scores up to a constant of each row, a linear map for each layer and only where widths differ."
    ),
    checked=(
        "all losses against float64 oracles from the formula (`tests/conformance/test_live_terms.py`), the map of "
        "layers in `tests/core/test_live_schedules.py`. No run of the authors was at hand to compare with."
    ),
    phases=(
        Phase(name="intermediate", share=0.77, terms=(
            TermSpec(term="token-embeddings", weight=1 / 3),
            TermSpec(term="attention-map", weight=1 / 3, options={**_MAP, "distance": "scores"}),
            TermSpec(term="token-hidden", weight=1 / 3, options=_MAP),
        )),
        # The classifier has learnt nothing yet, so no checkpoint of the first phase is better than its last.
        Phase(name="prediction", share=0.23, start="last", terms=(TermSpec(term="logit-kd"),)),
    ),
)
