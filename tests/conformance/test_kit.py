"""The kit itself: cases, expected failures, tolerances, and running without pytest."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import settings
from test_mutants_projector import Accumulates, Counts, Even, LeaksGradient, SumsToTwo
from test_mutants_term import Labels, Squares
from ukd_plugins.output_spaces.classes import ClassesSpace
from ukd_plugins.pseudo_heads.linear import LinearHead

from ukd_core import Options, PseudoHead
from ukd_core.errors import InputError
from ukd_core.testing import (
    LAYER_SOURCE_CHECKS,
    OUTPUT_SPACE_CHECKS,
    PROJECTOR_CHECKS,
    PSEUDO_HEAD_CHECKS,
    TERM_CHECKS,
    LayerSourceCase,
    OutputSpaceCase,
    ProjectorCase,
    PseudoHeadCase,
    TermCase,
    checks_of,
    default_cases,
    parametrize_with_checks,
    run_case,
)
from ukd_core.testing.checks import Case, expect_close, name_of, repeatable, seeded
from ukd_core.testing.run import summary

DRAWS = {"check_determinism": "draws"}
ALL_CHECKS = (LAYER_SOURCE_CHECKS, OUTPUT_SPACE_CHECKS, PROJECTOR_CHECKS, PSEUDO_HEAD_CHECKS, TERM_CHECKS)


def case_of(kind, **arguments):
    return ProjectorCase("tried", lambda setup: kind(setup=setup), **arguments)


def parameters_of(*cases):
    return {parameter.id: parameter for parameter in parametrize_with_checks(*cases).args[1]}


def test_every_law_is_stated_by_its_check():
    for checks in ALL_CHECKS:
        for check in checks:
            law = (check.__doc__ or "").strip()
            assert check.__name__.startswith("check_") and len(law) >= 30 and law.endswith("."), check.__name__
    assert [len({check.__name__ for check in checks}) == len(checks) for checks in ALL_CHECKS] == [True] * 5


def test_cases_of_several_kinds_may_be_mixed():
    ids = parameters_of(case_of(Even), PseudoHeadCase("straight", LinearHead), TermCase("labels", Labels),
                        OutputSpaceCase("space", ClassesSpace))
    assert {"tried-check_unit_permutation", "straight-check_absorb_standardisation", "labels-check_unlabelled_units",
            "space-check_temperature"} <= set(ids)


def test_laws_that_say_nothing_about_a_case_are_left_out():
    def left_out(case):
        return {check.__name__ for check in case.checks} - set(checks_of(case))

    assert left_out(case_of(Even)) == {"check_against_reference"}
    assert left_out(case_of(Even, deterministic=False)) == {"check_against_reference", "check_determinism"}
    assert left_out(TermCase("labels", Labels)) == {"check_zero_at_equality", "check_no_gradient_to_teacher",
                                                    "check_against_reference", "check_look"}
    assert left_out(TermCase("squares", Squares, zero_at_equality=False)) == {
        "check_zero_at_equality", "check_unlabelled_units", "check_against_reference", "check_look"}


@pytest.mark.parametrize(("case", "law"), [
    (case_of(Even), "check_against_reference"),
    (PseudoHeadCase("straight", LinearHead), "check_against_reference"),
    (TermCase("squares", Squares), "check_against_reference"),
    (OutputSpaceCase("space", ClassesSpace), "check_divergence_against_reference"),
    (OutputSpaceCase("space", ClassesSpace), "check_label_loss_against_reference"),
])
def test_a_law_of_a_reference_that_is_not_there_finds_nothing(case, law):
    assert law not in checks_of(case)
    {name_of(check): check for check in case.checks}[law](case)


def test_an_expected_failure_is_a_strict_xfail_with_its_reason():
    failures = {"check_determinism": "draws"}
    (xfail,) = parameters_of(case_of(Even, expected_failures=failures))["tried-check_determinism"].marks
    assert xfail.kwargs == {"reason": "draws", "strict": True}
    (xfail,) = parameters_of(case_of(Even, expected_failures=failures, strict=False))["tried-check_determinism"].marks
    assert xfail.kwargs == {"reason": "draws", "strict": False}
    assert not parameters_of(case_of(Even, expected_failures=failures))["tried-check_state_round_trip"].marks


def test_what_the_class_declares_is_expected_unless_the_case_says_otherwise():
    class Declares(Even):
        exceptions = DRAWS

    class DeclaresToo(PseudoHead):
        exceptions = DRAWS

    assert parameters_of(case_of(Declares))["tried-check_determinism"].marks
    assert not parameters_of(case_of(Declares, expected_failures={}))["tried-check_determinism"].marks
    assert parameters_of(PseudoHeadCase("head", DeclaresToo))["head-check_determinism"].marks


@pytest.mark.parametrize("declared_by", ["case", "class"])
def test_an_expected_failure_that_names_no_check_is_refused(declared_by):
    class Declares(Even):
        exceptions = {"check_detreminism": "draws"} if declared_by == "class" else {}

    failures = {"check_detreminism": "draws"} if declared_by == "case" else None
    with pytest.raises(InputError) as error:
        parametrize_with_checks(case_of(Declares, expected_failures=failures))
    assert str(error.value) == (
        "projector case 'tried': expected names of checks, got ['check_detreminism']. The checks are "
        + ", ".join(check.__name__ for check in PROJECTOR_CHECKS) + ".")


def test_an_expected_failure_without_a_reason_is_refused():
    with pytest.raises(InputError) as error:
        parametrize_with_checks(case_of(Even, expected_failures={"check_determinism": " "}))
    assert str(error.value) == ("projector case 'tried': expected a reason for each expected failure, got none for "
                                "['check_determinism']. Say why the law cannot be kept.")


def test_a_broken_law_is_told_with_the_numbers():
    with pytest.raises(AssertionError, match=r"^projector case 'tried': weights are not as expected: 3 instead of 2 "
                                             r"at \(1,\), more than 2e-06 apart$"):
        expect_close(case_of(Even), "weights", torch.tensor([1.0, 3.0]).double(), torch.tensor([1.0, 2.0]).double())
    with pytest.raises(AssertionError, match=r"weights have the shape \(2,\), expected \(\)"):
        expect_close(case_of(Even), "weights", torch.zeros(2), torch.zeros(()))


@pytest.mark.parametrize(("actual", "expected", "close"), [
    ([1.0], [1.0 + 9e-5], True), ([1.0], [1.0 + 2e-4], False), ([1e4], [1e4 + 0.9], True), ([1e4], [1e4 + 2], False),
    ([float("nan")], [1.0], False), ([1.0], [float("nan")], False), ([float("inf")], [float("inf")], True),
    ([float("inf"), 1.0], [float("inf"), 2.0], False), ([float("inf")], [1.0], False), ([], [], True),
])
def test_the_tolerance_is_relative_to_the_greatest_number(actual, expected, close):
    try:
        expect_close(case_of(Even), "numbers", torch.tensor(actual), torch.tensor(expected))
    except AssertionError:
        assert not close
    else:
        assert close


def test_tolerances_go_by_dtype_and_a_case_may_have_its_own():
    case = case_of(Even, tolerances={torch.float32: 0.5})
    assert (case.tolerance(torch.float32), case.tolerance(torch.float64)) == (0.5, 1e-6)
    expect_close(case, "numbers", torch.tensor([1.4]), torch.tensor([1.0]))


def test_random_numbers_are_drawn_aside():
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    drawn = []
    for _ in range(2):
        with seeded(3):
            drawn.append((torch.rand(()).item(), random.random(), np.random.random()))
    with repeatable(case_of(Even, deterministic=False)):
        torch.rand(())
    assert drawn[0] == drawn[1]
    assert torch.equal(torch.get_rng_state(), before[0]) and random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]
    with repeatable(case_of(Even)):
        torch.rand(())
    assert not torch.equal(torch.get_rng_state(), before[0])


class Random(Even):
    """Draws its weights anew each time, and says so."""

    def weights(self, student, teacher):
        return torch.rand(len(teacher), dtype=student.dtype).softmax(0)[None, :, None].expand(
            len(student), -1, student.shape[1])


def test_what_draws_random_numbers_can_keep_the_other_laws():
    laws = checks_of(case_of(Random, deterministic=False))
    for law in ("check_unit_permutation", "check_state_round_trip", "check_progress_alone_decides"):
        laws[law](case_of(Random, deterministic=False))
        with pytest.raises(AssertionError):
            laws[law](case_of(Random))


def statuses(case, examples=20):
    return {outcome.law: outcome for outcome in run_case(case, examples)}


def test_without_pytest_every_law_has_an_outcome():
    outcomes = statuses(case_of(SumsToTwo, expected_failures={"check_any_layer_counts": "sums to two",
                                                              "check_determinism": "never"}))
    assert list(outcomes) == list(checks_of(case_of(SumsToTwo)))
    assert str(outcomes["check_unit_permutation"]) == "check_unit_permutation: ok"
    assert str(outcomes["check_any_layer_counts"]) == "check_any_layer_counts: declared exception: sums to two"
    assert str(outcomes["check_determinism"]) == (
        "check_determinism: FAILED: declared as an exception (never), but no example breaks it")
    failed = str(outcomes["check_weights_are_shares"])
    assert failed.startswith("check_weights_are_shares: FAILED: sums of weights are not as expected: 2 instead of 1")
    assert "[Draw 1: (tensor(" in failed and "\n" not in failed and len(failed) < 520
    assert summary(list(outcomes.values())).startswith("13 laws: 6 ok, 1 declared exception, 6 failed, ")


def test_an_exception_that_is_not_strict_may_be_kept():
    case = case_of(Even, expected_failures={"check_determinism": "with some options"}, strict=False)
    assert str(statuses(case)["check_determinism"]) == "check_determinism: ok"


def test_whatever_a_plugin_raises_is_a_finding():
    class Raises(Even):
        def weights(self, student, teacher):
            raise KeyError

    assert str(statuses(case_of(Raises))["check_any_layer_counts"]) == "check_any_layer_counts: FAILED: KeyError"


def test_what_is_broken_only_once_is_told_as_it_was_found():
    class Once(Even):
        calls = 0

        def weights(self, student, teacher):
            Once.calls += 1
            return super().weights(student, teacher) * (2 if Once.calls == 1 else 1)

    with pytest.raises(AssertionError, match="sums of weights are not as expected: 2 instead of 1"):
        checks_of(case_of(Once))["check_weights_are_shares"](case_of(Once))


@pytest.mark.parametrize("kind", [Counts, Accumulates, LeaksGradient])
def test_two_runs_find_the_same(kind):
    def found():
        return [str(outcome) for outcome in run_case(case_of(kind), 10)]

    assert found() == found()


def test_settings_of_the_tests_are_as_before_a_run():
    before = settings.get_current_profile_name(), settings().max_examples
    next(run_case(case_of(Even), 7))
    assert (settings.get_current_profile_name(), settings().max_examples) == before


def test_every_registered_thing_has_a_default_case(registry):
    for catalogue in registry.catalogues[:-1]:
        for name in catalogue:
            cases = [case for case in default_cases(registry, name) if case.word == catalogue.kind]
            assert [case.name for case in cases] == [name] and isinstance(cases[0], Case)


def test_options_of_a_default_case(registry):
    (case,) = default_cases(registry, "bert:layers=3")
    assert isinstance(case, LayerSourceCase) and case.options["layers"] == 3 and case.options["hidden"] == 8
    assert not case.strict and default_cases(registry, "fixed")[0].strict
    assert set(default_cases(registry, "cnn")[0].options) == {"layers", "hidden", "vocab_size", "embedding_width"}


def test_a_class_may_say_with_which_options_the_kit_is_fast(registry, monkeypatch):
    monkeypatch.setattr(registry.layer_sources["cnn"], "kit_options", {"hidden": 4}, raising=False)
    assert default_cases(registry, "cnn")[0].options == {"hidden": 4}


@pytest.mark.parametrize(("spec", "text"), [
    ("atention", "'atention': nothing of this name is registered. Did you mean 'attention' or 'attention-map' or "
                 "'token-hidden'? Available: "),
    ("none", "method 'none': expected something with laws, got a preset of phases. Check its terms: hard-label."),
    ("linear:bias=0", "pseudo head 'linear': expected no options, got ['bias']. Leave them out."),
    ("classes:c=3", "output space 'classes': expected no options, got ['c']. Leave them out."),
    ("attention:temprature=2", "projector 'attention': no option 'temprature'. Did you mean 'temperature' or "),
    ("cnn:layers=0", "adapter 'cnn': option 'layers' has a wrong value: Input should be greater than or equal to 1"),
])
def test_what_cannot_be_checked_says_why(registry, spec, text):
    with pytest.raises(LookupError if spec == "atention" else InputError) as error:
        default_cases(registry, spec)
    assert str(error.value).startswith(text)


def test_options_of_a_case_reach_what_is_checked():
    class Scaled(Squares):
        Options = type("Scale", (Options,), {"__annotations__": {"by": float}, "by": 1.0})

        def forward(self, batch):
            return super().forward(batch) * self.options.by

    negative = TermCase("scaled", Scaled, Scaled.Options(by=-1.0))
    with pytest.raises(AssertionError, match="the loss is negative"):
        checks_of(negative)["check_loss_is_not_negative"](negative)
