"""The kit catches a projector that breaks a law, one mutant or more for every check."""

from __future__ import annotations

import torch
from mutants import Mutant, every_mutant, laws_without, passes

from ukd_core import Projection, Projector
from ukd_core.testing import PROJECTOR_CHECKS, ProjectorCase, parametrize_with_checks


class Even(Projector):
    """Keeps every law."""

    name = "even"

    def weights(self, student, teacher):
        return student.new_full((len(student), len(teacher), student.shape[1]), 1 / len(teacher))


class SumsToTwo(Even):
    def weights(self, student, teacher):
        return 2 * super().weights(student, teacher)


class Negative(Even):
    def weights(self, student, teacher):
        weights = super().weights(student, teacher)
        weights[:, 0] += 1
        weights[:, -1] -= 1
        return weights


class ForgetsTheDtype(Even):
    def weights(self, student, teacher):
        return super().weights(student, teacher).float()


class OutsideTheHull(Even):
    def forward(self, student, teacher):
        projection = super().forward(student, teacher)
        return Projection(projection.targets + 1, projection.weights)


def all_on_the_first(weights):
    first = torch.zeros_like(weights)
    first[:, 0] = 1
    return first


class FirstLayerOnly(Even):
    def weights(self, student, teacher):
        return all_on_the_first(super().weights(student, teacher))


class FirstUnitDecides(Even):
    def weights(self, student, teacher):
        scores = (student[:, None] * teacher).sum(-1)[..., :1].expand(-1, -1, student.shape[1])
        return scores.softmax(dim=1)


class OneTooMany(Even):
    def forward(self, student, teacher):
        projection = super().forward(student, teacher)
        return Projection(teacher.detach().sum(0).expand_as(student) / max(len(teacher), 2), projection.weights)


class LeaksGradient(Even):
    def forward(self, student, teacher):
        return Projection(teacher.mean(0).expand_as(student), super().forward(student, teacher).weights)


class Overflows(Even):
    def weights(self, student, teacher):
        powers = (student[:, None] * teacher).sum(-1).exp()
        return powers / powers.sum(dim=1, keepdim=True)


class RoundsCoarsely(Even):
    def weights(self, student, teacher):
        weights = super().weights(student, teacher)
        return all_on_the_first(weights) if student.dtype == torch.bfloat16 else weights


class Counts(Even):
    def forward(self, student, teacher):
        self.calls = getattr(self, "calls", 0) + 1
        return super().forward(student, teacher)

    def weights(self, student, teacher):
        weights = super().weights(student, teacher)
        return all_on_the_first(weights) if self.calls % 2 else weights


class Accumulates(Even):
    seen = 0.0

    def on_progress(self, fraction):
        self.seen += fraction

    def weights(self, student, teacher):
        scores = torch.arange(len(teacher), dtype=student.dtype) * self.seen
        return scores.softmax(0)[None, :, None].expand_as(super().weights(student, teacher))


class HidesState(Even):
    def __init__(self, options=None, setup=None):
        super().__init__(options, setup)
        self.register_buffer("order", torch.randn(100), persistent=False)

    def weights(self, student, teacher):
        scores = self.order[: len(teacher)].softmax(0)
        return scores[None, :, None].expand_as(super().weights(student, teacher))


class NeedsMoreTeacherLayers(Even):
    def weights(self, student, teacher):
        return super().weights(student[: len(teacher)], teacher)


def even_reference(student, teacher):
    return torch.full((len(student), len(teacher), student.shape[1]), 1 / len(teacher), dtype=torch.float64).numpy()


def case_of(kind):
    return ProjectorCase(kind.__name__, lambda setup: kind(setup=setup), even_reference)


CORRECT = [case_of(Even)]
MUTANTS = [Mutant(law, case_of(kind), message) for law, kind, message in [
    ("check_weights_are_shares", SumsToTwo, "sums of weights are not as expected"),
    ("check_weights_are_shares", Negative, "weights are negative or not a number"),
    ("check_weights_are_shares", ForgetsTheDtype, "expected scalar type|expected m1 and m2|must match|same dtype"),
    ("check_targets_are_mixtures", OutsideTheHull, "targets are not as expected"),
    ("check_teacher_permutation", FirstLayerOnly, "weights are not as expected"),
    ("check_unit_permutation", FirstUnitDecides, "weights are not as expected"),
    ("check_one_teacher_layer", OneTooMany, "targets are not as expected"),
    ("check_copies_of_one_layer", SumsToTwo, "targets are not as expected"),
    ("check_no_gradient_to_teacher", LeaksGradient, "a gradient reaches the teacher"),
    ("check_extreme_scores", Overflows, "weights are negative or not a number"),
    ("check_half_precision", RoundsCoarsely, "targets are not as expected"),
    ("check_determinism", Counts, "the second answer differs from the first"),
    ("check_progress_alone_decides", Accumulates, "what went before changes the answer"),
    ("check_state_round_trip", HidesState, "the state_dict does not hold all state"),
    ("check_any_layer_counts", NeedsMoreTeacherLayers, r"expected \(S, T, units\)|must match"),
    ("check_against_reference", FirstLayerOnly, "weights are not as expected"),
]]


@every_mutant(MUTANTS)
def test_each_check_catches_a_projector_that_breaks_its_law(mutant):
    assert mutant.is_caught(), mutant.finding()


def test_there_is_a_mutant_for_every_check():
    assert laws_without(MUTANTS, PROJECTOR_CHECKS) == set()


@parametrize_with_checks(*CORRECT)
def test_a_projector_that_keeps_the_laws_passes(case, check):
    passes(case, check)
