"""Variants of Universal-KD that change one thing each, as a plug-in for `ukd compare`.

    ukd compare --plugin benchmarks/universal_variants.py --methods logit-kd,dot,cosine,no-layers,softer ...

What they change is `dot`: two phases, attention by dot product, as the GLMKD implementation has it. `cosine` is what
`universal-kd` does. Where there are two phases, the second is labels alone, for a quarter of the steps.
"""

from __future__ import annotations

from typing import Any

from ukd_core import Method, Phase, TermSpec, hookimpl

LABELS = TermSpec(term="hard-label", weight=0.5)
ANSWER = TermSpec(term="logit-kd", weight=0.5)
TUNING = Phase(name="finetune", share=0.25, terms=(TermSpec(term="hard-label"),))
PROJECTORS = {
    "dot": "attention",
    "not-centred": "attention:centre=false",
    "cosine": "attention:score=cosine",
    "detached": "attention:detach=true",
    "cosine-detached": "attention:score=cosine,detach=true",
    "sharper": "attention:temperature=0.25",
    "flatter": "attention:temperature=4",
    "uniform": "fixed:strategy=uniform",
    "skip": "fixed:strategy=skip",
    "reversed": "fixed:strategy=reversed",
    "last-layer": "fixed:strategy=final",
    "random": "random:draws=1",
    "confidence": "label-confidence",
    "sharp-confidence": "label-confidence:temperature=0.1",
}


def layers(weight: float | tuple[tuple[float, float], ...] = 0.5, term: str = "layer-kd", **options: Any) -> TermSpec:
    """The matched layers, with options of the term."""
    return TermSpec(term=term, weight=weight, options={"projector": PROJECTORS["dot"], **options})


def two_phases(name: str, *terms: TermSpec) -> Method:
    """These terms, then labels alone."""
    return Method(name=name, summary=f"universal-kd, {name}", source="A variant of universal-kd.",
                  phases=(Phase(name="distil", share=0.75, terms=terms), TUNING))


def one_phase(name: str, *terms: TermSpec) -> Method:
    """These terms from the first step to the last."""
    return Method(name=name, summary=f"universal-kd, {name}", source="A variant of universal-kd.",
                  phases=(Phase(name="distil", terms=terms),))


VARIANTS = (
    *(two_phases(name, ANSWER, layers(projector=projector)) for name, projector in PROJECTORS.items()),
    two_phases("with-classifier", ANSWER, layers(include_classifier=True)),
    two_phases("final-layer-too", ANSWER, layers(include_final=True)),
    two_phases("softer", TermSpec(term="logit-kd", weight=0.5, options={"temperature": 2}), layers(temperature=2)),
    two_phases("supervised-heads", ANSWER, layers(term="supervised-layer-kd")),
    two_phases("fewer-layers", ANSWER, layers(0.1)),
    two_phases("more-layers", ANSWER, layers(1.0)),
    two_phases("cosine-assistants", ANSWER, TermSpec(term="logit-kd", weight=0.5, label="assistant-kd", options={
        "projector": "teacher-assistant:score=cosine"})),
    two_phases("fading-cosine", ANSWER, layers(((0.0, 0.5), (0.7, 0.0)), projector=PROJECTORS["cosine"])),
    two_phases("half-cosine", ANSWER, layers(0.25, projector=PROJECTORS["cosine"])),
    two_phases("no-layers", ANSWER),
    two_phases("labels-too", LABELS, ANSWER, layers()),
    one_phase("no-labels", ANSWER, layers()),
    one_phase("at-once", LABELS, ANSWER, layers()),
    one_phase("cosine-at-once", LABELS, ANSWER, layers(projector=PROJECTORS["cosine"])),
)


@hookimpl
def ukd_register_methods() -> tuple[Method, ...]:
    """The variants."""
    return VARIANTS
