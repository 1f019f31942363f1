"""Every projector that ships keeps the laws of its interface."""

from __future__ import annotations

from ukd_plugins.projectors.attention import AttentionOptions, AttentionProjector
from ukd_plugins.projectors.ensemble import EnsembleOptions, EnsembleProjector
from ukd_plugins.projectors.fixed import FixedOptions, FixedProjector
from ukd_plugins.projectors.label_confidence import LabelConfidenceOptions, LabelConfidenceProjector
from ukd_plugins.projectors.random import RandomOptions, RandomProjector
from ukd_plugins.projectors.teacher_assistant import TeacherAssistantProjector

from ukd_core.testing import ProjectorCase, oracles, parametrize_with_checks
from ukd_core.testing.projector import projector_setup


def attention_case(name, **options):
    def reference(student, teacher):
        return oracles.attention(student, teacher, temperature=options.get("temperature", 1.0),
                                 cosine=options.get("score") == "cosine",
                                 centre=options.get("centre", "auto") is not False and student.shape[-1] > 1)

    return ProjectorCase(name, lambda setup: AttentionProjector(AttentionOptions(**options), setup), reference)


def fixed_case(strategy):
    def make(setup):
        pairs = [[j, j % setup.teacher_layers] for j in range(setup.student_layers)] + [[0, setup.teacher_layers - 1]]
        return FixedProjector(FixedOptions(strategy=strategy, pairs=pairs), setup)

    return ProjectorCase(f"fixed-{strategy}", make, expected_failures={} if strategy == "uniform" else None)


CASES = [
    attention_case("attention"),
    attention_case("attention-cosine", score="cosine", temperature=0.3),
    attention_case("attention-uncentred", centre=False, detach=True),
    *map(fixed_case, ("uniform", "skip", "even", "last", "final", "reversed", "pairs")),
    ProjectorCase("random", lambda setup: RandomProjector(RandomOptions(draws=3, ordered=False), setup)),
    ProjectorCase("teacher-assistant", lambda setup: TeacherAssistantProjector(setup=setup),
                  lambda student, teacher: oracles.attention(student, teacher, centre=student.shape[-1] > 1)),
    ProjectorCase("label-confidence",
                  lambda setup: LabelConfidenceProjector(LabelConfidenceOptions(temperature=0.5), setup)),
    ProjectorCase("ensemble", lambda setup: EnsembleProjector(EnsembleOptions(generations=3), setup)),
]


@parametrize_with_checks(*CASES)
def test_shipped_projectors_keep_the_laws(case, check):
    check(case)


def test_everything_that_ships_is_among_them(registry):
    catalogue = registry.projectors
    shipped = {kind for name, kind in catalogue.items() if catalogue.origin(name).distribution == "ukd"}
    assert shipped == {type(case.make(projector_setup(2, 2, 2))) for case in CASES}
