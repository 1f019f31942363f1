"""The kit catches an output space that breaks a law, one mutant or more for every check."""

from __future__ import annotations

import math

import torch
from mutants import Mutant, every_mutant, laws_without, passes
from ukd_plugins.output_spaces.classes import ClassesSpace

from ukd_core.testing import OUTPUT_SPACE_CHECKS, OutputSpaceCase, oracles, parametrize_with_checks


class NamesInOrderOfRows(ClassesSpace):
    @classmethod
    def label_names(cls, values):
        return tuple(dict.fromkeys(values))


class NamesRepeat(ClassesSpace):
    @classmethod
    def label_names(cls, values):
        return tuple(sorted(values))


class TakesAnyLabel(ClassesSpace):
    def encode(self, value):
        return self.labels.index(value) if value in self.labels else 0


class EncodesLabelsAsMissing(ClassesSpace):
    def encode(self, value):
        return self.missing if super().encode(value) == 0 else super().encode(value)


class AnswersWithTheLeast(ClassesSpace):
    def predictions(self, logits):
        return logits.argmin(dim=-1)


class SeesNoMissingLabel(ClassesSpace):
    def is_labelled(self, labels):
        return torch.ones_like(labels, dtype=torch.bool)


class OneForAllUnits(ClassesSpace):
    def is_labelled(self, labels):
        return super().is_labelled(labels).all().unsqueeze(0)


class SumsOverUnits(ClassesSpace):
    def divergence(self, teacher, student, temperature=1.0):
        return super().divergence(teacher, student, temperature).sum(dim=-1)


class MeanOfLayers(ClassesSpace):
    def divergence(self, teacher, student, temperature=1.0):
        each = super().divergence(teacher, student, temperature)
        return each.mean(dim=0, keepdim=True).expand_as(each)


class Negative(ClassesSpace):
    def divergence(self, teacher, student, temperature=1.0):
        return -super().divergence(teacher, student, temperature)


class CrossEntropyForKL(ClassesSpace):
    def divergence(self, teacher, student, temperature=1.0):
        p, q = (teacher.double() / temperature).softmax(-1), (student.double() / temperature).log_softmax(-1)
        return -temperature**2 * (p * q).sum(-1)


class NothingMatters(ClassesSpace):
    def divergence(self, teacher, student, temperature=1.0):
        return 0.0 * super().divergence(teacher, student, temperature)


class ForgetsTheSquare(ClassesSpace):
    def divergence(self, teacher, student, temperature=1.0):
        return super().divergence(teacher, student, temperature) / temperature**2


class HeatsTheStudentOnly(ClassesSpace):
    def divergence(self, teacher, student, temperature=1.0):
        return temperature**2 * super().divergence(teacher, student / temperature, 1.0)


class SquaresOfScores(ClassesSpace):
    def divergence(self, teacher, student, temperature=1.0):
        return (teacher - student).square().sum(-1)


class DeniesItsInvariance(ClassesSpace):
    shift_invariant = False


class DividesLogsOfShares(ClassesSpace):
    def divergence(self, teacher, student, temperature=1.0):
        p, q = ((side.float() / temperature).softmax(-1) for side in (teacher, student))
        return temperature**2 * (p * (p / q).log()).sum(-1)


class NaiveLabelLoss(ClassesSpace):
    def label_loss(self, logits, labels):
        chosen = labels.expand(logits.shape[:-1]).unsqueeze(-1)
        return -logits.softmax(-1).gather(-1, chosen).squeeze(-1).log()


class ComparesInHalfPrecision(ClassesSpace):
    def divergence(self, teacher, student, temperature=1.0):
        p, q = ((side / temperature).log_softmax(-1) for side in (teacher, student))
        return temperature**2 * (p.exp() * (p - q)).sum(-1)


class RewardsTheWrongLabel(ClassesSpace):
    def label_loss(self, logits, labels):
        return super().label_loss(-logits, labels)


class MeanLabelLoss(ClassesSpace):
    def label_loss(self, logits, labels):
        each = super().label_loss(logits, labels)
        return each.mean(dim=-1, keepdim=True).expand_as(each)


class WeighsByPosition(ClassesSpace):
    def divergence(self, teacher, student, temperature=1.0):
        each = super().divergence(teacher, student, temperature)
        return each * torch.arange(1, each.shape[-1] + 1)


class AnswersWithShares(ClassesSpace):
    def predictions(self, logits):
        return logits.softmax(-1)


class NoAnswerToTies(ClassesSpace):
    def predictions(self, logits):
        tied = (logits == logits.amax(-1, keepdim=True)).sum(-1) > 1
        return torch.where(tied, self.missing, super().predictions(logits))


class LacksItsMetric(ClassesSpace):
    primary_metric = "f2"


class PrefersErrors(ClassesSpace):
    def metrics(self, predictions, labels):
        return {"accuracy": float((predictions != labels).mean())}


class DividesByZero(ClassesSpace):
    def metrics(self, predictions, labels):
        wrong = float((predictions != labels).sum())
        return {"accuracy": math.inf if wrong == 0 else 1 / wrong}


class SharesBeyondNumbers(ClassesSpace):
    def describe(self, logits):
        return [{"score": share} for share in (logits.exp() / logits.exp().sum(-1, keepdim=True)).amax(-1).tolist()]


class RanksUnits(ClassesSpace):
    def describe(self, logits):
        return [{**answer, "rank": rank} for rank, answer in enumerate(super().describe(logits))]


class Draws(ClassesSpace):
    def divergence(self, teacher, student, temperature=1.0):
        return super().divergence(teacher, student, temperature) * torch.rand(())


class Reversed(ClassesSpace):
    def divergence(self, teacher, student, temperature=1.0):
        return super().divergence(student, teacher, temperature)


class SmoothsLabels(ClassesSpace):
    def label_loss(self, logits, labels):
        return 0.9 * super().label_loss(logits, labels) - 0.1 * logits.log_softmax(-1).mean(-1)


def case_of(kind):
    return OutputSpaceCase(kind.__name__, kind, divergence=oracles.kl_divergence, label_loss=oracles.cross_entropy)


CORRECT = [case_of(ClassesSpace)]
MUTANTS = [Mutant(law, case_of(kind), message) for law, kind, message in [
    ("check_label_names", NamesInOrderOfRows, "label names change with the order of rows"),
    ("check_label_names", NamesRepeat, "label names"),
    ("check_encoding", TakesAnyLabel, "encode takes 'no such label, anywhere'"),
    ("check_encoding", EncodesLabelsAsMissing, "an encoded label counts as missing"),
    ("check_encoding_round_trip", AnswersWithTheLeast, "predictions are not as expected"),
    ("check_missing_labels", SeesNoMissingLabel, r"is_labelled gave \[True"),
    ("check_missing_labels", OneForAllUnits, r"is_labelled gave torch.bool \(1,\), expected bool"),
    ("check_divergence_shape", SumsOverUnits, "divergences have the shape"),
    ("check_divergence_shape", MeanOfLayers, "divergences of single units are not as expected|IndexError|dimension"),
    ("check_divergence_is_not_negative", Negative, "a divergence is negative"),
    ("check_divergence_is_zero_at_equality", CrossEntropyForKL, "divergences of equal scores are"),
    ("check_divergence_is_zero_at_equality", NothingMatters, "the divergence of different answers is"),
    ("check_temperature", ForgetsTheSquare, "divergences are not as expected"),
    ("check_temperature", HeatsTheStudentOnly, "divergences are not as expected"),
    ("check_shift_invariance", SquaresOfScores, "divergences after a shift are not as expected"),
    ("check_shift_invariance", DeniesItsInvariance, "an added constant changes nothing"),
    ("check_extreme_scores", DividesLogsOfShares, "divergences are not finite"),
    ("check_extreme_scores", NaiveLabelLoss, "label losses are not finite"),
    ("check_half_precision", ComparesInHalfPrecision, "divergences are torch.b?float16, expected float32"),
    ("check_label_loss", RewardsTheWrongLabel, "another answer has a smaller label loss"),
    ("check_label_loss", MeanLabelLoss, "label losses of single units are not as expected"),
    ("check_unit_permutation", WeighsByPosition, "divergences are not as expected"),
    ("check_predictions", AnswersWithShares, "predictions have the shape"),
    ("check_predictions", NoAnswerToTies, "a prediction counts as missing"),
    ("check_metrics", LacksItsMetric, "expected the primary one, 'f2', among them"),
    ("check_metrics", PrefersErrors, "the truth has 0"),
    ("check_metrics", DividesByZero, "expected finite floats"),
    ("check_descriptions", SharesBeyondNumbers, "what JSON cannot hold"),
    ("check_descriptions", RanksUnits, "the description of a unit depends on the others"),
    ("check_determinism", Draws, "the second divergence differs from the first"),
    ("check_divergence_against_reference", Reversed, "divergences are not as expected"),
    ("check_label_loss_against_reference", SmoothsLabels, "label losses are not as expected"),
]]


@every_mutant(MUTANTS)
def test_each_check_catches_a_space_that_breaks_its_law(mutant):
    assert mutant.is_caught(), mutant.finding()


def test_there_is_a_mutant_for_every_check():
    assert laws_without(MUTANTS, OUTPUT_SPACE_CHECKS) == set()


@parametrize_with_checks(*CORRECT)
def test_a_space_that_keeps_the_laws_passes(case, check):
    passes(case, check)
