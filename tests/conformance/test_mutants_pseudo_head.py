"""The kit catches a pseudo head that breaks a law, one mutant or more for every check."""

from __future__ import annotations

import torch
from mutants import Mutant, every_mutant, laws_without, passes
from torch import nn

from ukd_core import PseudoHead
from ukd_core.testing import PSEUDO_HEAD_CHECKS, PseudoHeadCase, oracles, parametrize_with_checks


class Straight(PseudoHead):
    """Keeps every law."""

    name = "straight"

    def __init__(self, width, size):
        super().__init__(width, size)
        self.weight = nn.Parameter(torch.randn(size, width))
        self.bias = nn.Parameter(torch.randn(size))

    def forward(self, states):
        return states @ self.weight.T + self.bias

    @torch.no_grad()
    def absorb_standardisation(self, mean, deviation):
        self.weight.div_(deviation)
        self.bias.sub_(self.weight @ mean)


class Wide(Straight):
    def forward(self, states):
        return super().forward(states).unsqueeze(1)


class ForgetsTheDtype(Straight):
    def forward(self, states):
        return super().forward(states).float()


class SwapsItsSizes(Straight):
    def __init__(self, width, size):
        super().__init__(width, size)
        self.width, self.size = size + 1, width + 1


class AddsTheFirstUnit(Straight):
    def forward(self, states):
        return super().forward(states + states[:1])


class CentresTheBatch(Straight):
    def forward(self, states):
        return super().forward(states - states.mean(dim=0))


class NeverAbsorbs(Straight):
    def absorb_standardisation(self, mean, deviation):
        pass


class AbsorbsTheDeviationOnly(Straight):
    @torch.no_grad()
    def absorb_standardisation(self, mean, deviation):
        self.weight.div_(deviation)


class KeepsTheMeanBesideTheState(Straight):
    mean, deviation = 0.0, 1.0

    def forward(self, states):
        return super().forward((states - self.mean) / self.deviation)

    def absorb_standardisation(self, mean, deviation):
        self.mean, self.deviation = mean, deviation


class CutsTheGradient(Straight):
    def forward(self, states):
        return super().forward(states.detach())


class OwnsAnIdleWeight(Straight):
    def __init__(self, width, size):
        super().__init__(width, size)
        self.idle = nn.Parameter(torch.zeros(1))


class Overflows(Straight):
    def forward(self, states):
        return super().forward(states.sinh())


class RoundsCoarsely(Straight):
    def forward(self, states):
        return super().forward(states.round() if states.dtype == torch.bfloat16 else states)


class DropsOutAlways(Straight):
    def forward(self, states):
        return nn.functional.dropout(super().forward(states), 0.5, training=True)


class Doubles(Straight):
    def forward(self, states):
        return 2 * super().forward(states)


def reference(head, states):
    return oracles.linear(states, *(tensor.detach().double().numpy() for tensor in (head.weight, head.bias)))


def case_of(kind):
    return PseudoHeadCase(kind.__name__, kind, reference)


CORRECT = [case_of(Straight)]
MUTANTS = [Mutant(law, case_of(kind), message) for law, kind, message in [
    ("check_scores_shape", Wide, "scores have the shape"),
    ("check_scores_shape", ForgetsTheDtype, "scores are torch.float32, expected torch.float64"),
    ("check_scores_shape", SwapsItsSizes, "width and size are"),
    ("check_unit_permutation", AddsTheFirstUnit, "scores are not as expected"),
    ("check_units_are_independent", CentresTheBatch, "scores of single units are not as expected"),
    ("check_absorb_standardisation", NeverAbsorbs, "scores after absorb_standardisation are not as expected"),
    ("check_absorb_standardisation", AbsorbsTheDeviationOnly, "scores after absorb_standardisation are not"),
    ("check_state_round_trip", KeepsTheMeanBesideTheState, "the state_dict does not hold all state"),
    ("check_gradients", CutsTheGradient, "no gradient reaches the states"),
    ("check_gradients", OwnsAnIdleWeight, "no gradient reaches idle"),
    ("check_extreme_states", Overflows, "scores are not finite"),
    ("check_half_precision", RoundsCoarsely, "scores in bfloat16 are not as expected"),
    ("check_determinism", DropsOutAlways, "the second answer differs from the first"),
    ("check_against_reference", Doubles, "scores are not as expected"),
]]


@every_mutant(MUTANTS)
def test_each_check_catches_a_head_that_breaks_its_law(mutant):
    assert mutant.is_caught(), mutant.finding()


def test_there_is_a_mutant_for_every_check():
    assert laws_without(MUTANTS, PSEUDO_HEAD_CHECKS) == set()


@parametrize_with_checks(*CORRECT)
def test_a_head_that_keeps_the_laws_passes(case, check):
    passes(case, check)
