"""The kit catches a term that breaks a law, one mutant or more for every check."""

from __future__ import annotations

import pytest
import torch
from mutants import Mutant, every_mutant, laws_without, passes
from torch import nn

from ukd_core import Term, TermView
from ukd_core.errors import InputError
from ukd_core.testing import TERM_CHECKS, TermCase, parametrize_with_checks
from ukd_core.testing.term import usable_spaces


class Squares(Term):
    """Keeps every law: the mean squared difference of the answers, in float32 at least."""

    name = "squares"
    needs = frozenset({"teacher-scores"})

    def __init__(self, options, setup):
        super().__init__(options, setup)
        self.scale = nn.Parameter(1 + torch.rand(()))

    def each(self, student, teacher):
        return (student - teacher).square().sum(-1)

    def forward(self, batch):
        student, teacher = batch.student.logits.to(self.scale.dtype), batch.teacher_scores[-1].detach()
        return self.scale * self.each(student, teacher.to(student)).mean()


class Labels(Term):
    """Keeps every law: the space's own label loss."""

    name = "labels"
    needs = frozenset({"labels"})

    def forward(self, batch):
        if not batch.labelled.any():
            return (batch.student.logits * 0.0).sum()
        return self.space.label_loss(batch.student.logits[batch.labelled], batch.labels[batch.labelled]).mean()


class Shows(Squares):
    """Keeps every law: the answers as one layer, all of the teacher's layers alike."""

    def shares(self, batch):
        layers = len(batch.teacher_scores)
        return batch.student.logits.new_full((1, layers, len(batch.labels)), 1 / layers)

    def look(self, batch):
        return TermView(batch.student.logits.unsqueeze(0), self.shares(batch))


class ShowsUnitsFirst(Shows):
    def shares(self, batch):
        return super().shares(batch).movedim(-1, 0)[..., None].expand(-1, -1, -1, 2)


class ShowsOneLayerTooMany(Shows):
    def shares(self, batch):
        return super().shares(batch).expand(2, -1, -1)


class ShowsNoShares(Shows):
    def shares(self, batch):
        return super().shares(batch) * 2


class ShowsNegativeShares(Shows):
    def shares(self, batch):
        shares = super().shares(batch).clone()
        shares[:, 0] += 2.0
        shares[:, 1] -= 2.0
        return shares


class DrawsWhenLookedAt(Shows):
    def look(self, batch):
        torch.rand(())
        return super().look(batch)


class ChangesWhenLookedAt(Shows):
    def look(self, batch):
        self.scale.add_(1.0)
        return super().look(batch)


class MisspellsItsNeeds(Squares):
    needs = frozenset({"teacher_scores"})


class OnePerUnit(Squares):
    def forward(self, batch):
        return super().forward(batch).expand(len(batch.labels))


class GivesHalfPrecision(Squares):
    def forward(self, batch):
        return super().forward(batch).bfloat16()


class Negative(Squares):
    def forward(self, batch):
        return -super().forward(batch)


class NeverAgrees(Squares):
    def each(self, student, teacher):
        return super().each(student, teacher) + 1.0


class SumsOverUnits(Squares):
    def forward(self, batch):
        return super().forward(batch) * len(batch.labels)


class WeighsByPosition(Squares):
    def each(self, student, teacher):
        weights = torch.arange(1.0, len(student) + 1, dtype=student.dtype)
        return super().each(student, teacher) * weights / weights.mean()


class DividesByAllUnits(Labels):
    def forward(self, batch):
        return super().forward(batch) * batch.labelled.to(batch.student.logits).mean()


class PunishesMissingLabels(Labels):
    def forward(self, batch):
        return super().forward(batch) + batch.student.logits.square().mean() * (not batch.labelled.any())


class TeachesTheTeacher(Squares):
    def forward(self, batch):
        return self.each(batch.student.logits, batch.teacher_scores[-1].to(batch.student.logits)).mean()


class NeverTeaches(Squares):
    def each(self, student, teacher):
        return super().each(student.detach(), teacher)


class OwnsAnIdleWeight(Squares):
    def __init__(self, options, setup):
        super().__init__(options, setup)
        self.idle = nn.Parameter(torch.zeros(2))


class Overflows(Squares):
    def each(self, student, teacher):
        return (student.exp() - teacher.exp()).square().sum(-1)


class RoundsCoarsely(Squares):
    def forward(self, batch):
        if batch.student.logits.dtype == torch.bfloat16:
            return 3 * super().forward(batch) + 1
        return super().forward(batch)


class CannotReadHalfPrecision(Squares):
    def __init__(self, options, setup):
        super().__init__(options, setup)
        self.map = nn.Linear(setup.space.size, setup.space.size)

    def forward(self, batch):
        return self.each(self.map(batch.student.logits), batch.teacher_scores[-1].detach()).mean()


class PeeksAtLabels(Squares):
    def forward(self, batch):
        return super().forward(batch) * (1 + batch.labelled.sum())


class PeeksAtTokens(Squares):
    def forward(self, batch):
        return super().forward(batch) + batch.student.tokens[0].square().mean()


class AsksForTokensInVain(Squares):
    needs = frozenset({"teacher-scores", "student-tokens"})


class AsksForStatesInVain(Squares):
    needs = frozenset({"teacher-scores", "teacher-states"})


class AsksForLabelsInVain(Squares):
    needs = frozenset({"teacher-scores", "labels"})


class AsksForMapsInVain(Squares):
    needs = frozenset({"teacher-scores", "student-attentions"})


class Draws(Squares):
    def each(self, student, teacher):
        return super().each(student, teacher) * torch.rand(())


class Accumulates(Squares):
    seen = 0.0

    def on_progress(self, fraction):
        self.seen += fraction

    def each(self, student, teacher):
        return super().each(student, teacher) * (1 + self.seen)


class HidesState(Squares):
    def __init__(self, options, setup):
        super().__init__(options, setup)
        self.hidden = torch.rand(())

    def each(self, student, teacher):
        return super().each(student, teacher) * (1 + self.hidden)


class NeedsMoreTeacherLayers(Squares):
    def forward(self, batch):
        for layer, _ in enumerate(batch.student.pooled):
            batch.teacher_scores[layer]
        return super().forward(batch)


class Doubles(Squares):
    def forward(self, batch):
        return 2 * super().forward(batch)


def reference(term, batch):
    pairs = zip(batch.student.logits.tolist(), batch.teacher_scores[-1].tolist(), strict=True)
    each = [sum((s - t) ** 2 for s, t in zip(*pair, strict=True)) for pair in pairs]
    return term.scale.item() * sum(each) / len(each)


def case_of(kind):
    return TermCase(kind.__name__, kind, reference=reference if issubclass(kind, Squares) else None)


CORRECT = [case_of(Squares), case_of(Labels), case_of(Shows)]
MUTANTS = [Mutant(law, case_of(kind), message) for law, kind, message in [
    ("check_needs_are_known", MisspellsItsNeeds, r"needs \['teacher_scores'\] are not known"),
    ("check_scalar_loss", OnePerUnit, r"the loss has the shape \(1,\), expected \(\)"),
    ("check_scalar_loss", GivesHalfPrecision, "the loss is torch.bfloat16, expected float32"),
    ("check_loss_is_not_negative", Negative, "the loss is negative"),
    ("check_zero_at_equality", NeverAgrees, "where all scores are equal"),
    ("check_mean_over_units", SumsOverUnits, "losses of a doubled batch are not as expected"),
    ("check_unit_permutation", WeighsByPosition, "losses of permuted units are not as expected"),
    ("check_unlabelled_units", DividesByAllUnits, "losses of the labelled units are not as expected"),
    ("check_unlabelled_units", PunishesMissingLabels, "without any label"),
    ("check_no_gradient_to_teacher", TeachesTheTeacher, "a gradient reaches teacher_scores"),
    ("check_gradients", NeverTeaches, "no gradient reaches the student"),
    ("check_gradients", OwnsAnIdleWeight, "no gradient reaches the term's weight idle"),
    ("check_extreme_scores", Overflows, "losses are not finite"),
    ("check_half_precision", RoundsCoarsely, "losses in bfloat16 are not as expected"),
    ("check_half_precision", CannotReadHalfPrecision, "same dtype|must have the same|BFloat16"),
    ("check_needs_are_enough", PeeksAtLabels, "losses without what is not needed are not as expected"),
    ("check_needs_are_enough", PeeksAtTokens, "NoneType"),
    ("check_needs_are_needed", AsksForTokensInVain, "'student-tokens' is in `needs`, but the loss does not depend"),
    ("check_needs_are_needed", AsksForStatesInVain, "'teacher-states' is in `needs`, but the loss does not depend"),
    ("check_needs_are_needed", AsksForLabelsInVain, "'labels' is in `needs`, but the loss does not depend"),
    ("check_needs_are_needed", AsksForMapsInVain, "'student-attentions' is in `needs`, but the loss does not depend"),
    ("check_determinism", Draws, "the second loss differs from the first"),
    ("check_progress_alone_decides", Accumulates, "what went before changes the loss"),
    ("check_state_round_trip", HidesState, "the state_dict does not hold all state"),
    ("check_any_layer_counts", NeedsMoreTeacherLayers, "IndexError"),
    ("check_look", ShowsUnitsFirst, r"look shows weights of the shape \(\d, 1, \d, 2\), expected \(S, T, units\)"),
    ("check_look", ShowsOneLayerTooMany, r"different numbers of layers: \[1, 2\]"),
    ("check_look", ShowsNoShares, "sums of the weights that look shows are not as expected"),
    ("check_look", ShowsNegativeShares, "look shows negative weights"),
    ("check_look", DrawsWhenLookedAt, "look draws random numbers"),
    ("check_look", ChangesWhenLookedAt, "the loss after a look differs from the one before"),
    ("check_against_reference", Doubles, "losses are not as expected"),
]]


@every_mutant(MUTANTS)
def test_each_check_catches_a_term_that_breaks_its_law(mutant):
    assert mutant.is_caught(), mutant.finding()


def test_there_is_a_mutant_for_every_check():
    assert laws_without(MUTANTS, TERM_CHECKS) == set()


@parametrize_with_checks(*CORRECT)
def test_a_term_that_keeps_the_laws_passes(case, check):
    passes(case, check)


class RefusesAllButClasses(Squares):
    def __init__(self, options, setup):
        super().__init__(options, setup)
        if setup.space.name != "classes":
            raise InputError("term 'squares'", f"expected classes, got {setup.space.name}")


def test_an_output_space_that_a_term_refuses_is_left_out():
    assert [space.name for space in usable_spaces(case_of(RefusesAllButClasses))] == ["classes"]


def test_a_term_that_refuses_every_space_says_so():
    case = TermCase("picky", RefusesAllButClasses, spaces=("regression", "none-such"))
    with pytest.raises(InputError) as error:
        TERM_CHECKS[1](case)
    assert str(error.value) == (
        "term case 'picky': expected an output space that the term can be built for among "
        "['regression', 'none-such'], got none (term 'squares': expected classes, got regression). "
        "Name one in `spaces`.")
