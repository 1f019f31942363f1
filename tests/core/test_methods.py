"""The presets that UKD ships: they name terms that exist with options that fit, and weigh them as documented."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from ukd_plugins import plugin

from ukd_core import TermSpec
from ukd_core.spec import parse_spec, read_options

METHODS = {method.name: method for method in plugin.ukd_register_methods()}
TERMS = {term.name: term for term in plugin.ukd_register_terms()}
PROJECTORS = {projector.name: projector for projector in plugin.ukd_register_projectors()}


def loss_of(phase):
    return {term.key: term.weight for term in phase.terms}


def test_the_shipped_methods():
    assert set(METHODS) == {
        "none", "logit-kd", "universal-kd", "universal-kd-single-phase", "universal-kd-losses", "universal-kd-ta",
        "dih", "mhkd", "pkd", "pkd-last", "alp-kd", "ckd", "rail-kd", "rail-kd-concatenated", "annealing-kd",
        "continuation-kd", "tinybert", "pid", "sid", "takd"}


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_a_method_is_complete(method):
    assert method.summary and method.source.endswith(".")
    assert sum(phase.share for phase in method.phases) == pytest.approx(1.0)
    for phase in method.phases:
        assert len({term.key for term in phase.terms}) == len(phase.terms)
        whole = 101.0 if method.name.startswith("pkd") else 1.0  # states of unit norm: a mean over features is tiny
        for progress in (0.0, 0.5, 0.99):
            assert sum(term.weight_at(progress) for term in phase.terms) == pytest.approx(whole)
        for term in phase.terms:
            options = read_options(TERMS[term.term].Options, term.options, "test")
            if getattr(options, "projector", None):
                spec = parse_spec(options.projector)
                read_options(PROJECTORS[spec.name].Options, spec.options, "test")


def test_none_is_labels_alone():
    assert [loss_of(phase) for phase in METHODS["none"].phases] == [{"hard-label": 1.0}]


def test_logit_kd_is_half_labels_half_teacher():
    assert [loss_of(phase) for phase in METHODS["logit-kd"].phases] == [{"hard-label": 0.5, "logit-kd": 0.5}]


def test_universal_kd_distils_without_labels_and_then_learns_labels_from_the_best_checkpoint():
    distil, finetune = METHODS["universal-kd"].phases
    assert (distil.share, loss_of(distil)) == (0.75, {"logit-kd": 0.5, "layer-kd": 0.5})
    assert (finetune.share, finetune.start, loss_of(finetune)) == (0.25, "best", {"hard-label": 1.0})


def test_universal_kd_in_one_phase_weighs_its_three_terms_equally():
    (phase,) = METHODS["universal-kd-single-phase"].phases
    assert loss_of(phase) == {"hard-label": 1 / 3, "logit-kd": 1 / 3, "layer-kd": 1 / 3}


def test_the_assistant_form_has_the_final_answer_twice():
    distil, finetune = METHODS["universal-kd-ta"].phases
    assert loss_of(distil) == {"logit-kd": 0.5, "assistant-kd": 0.5}
    assert [term.options for term in distil.terms] == [{}, {"projector": "teacher-assistant"}]
    assert loss_of(finetune) == {"hard-label": 1.0}


def test_dih_has_the_weights_and_the_temperature_of_its_source():
    (phase,) = METHODS["dih"].phases
    assert loss_of(phase) == {"hard-label": 0.9, "logit-kd": 0.1}
    assert phase.terms[1].options == {"projector": "fixed:strategy=uniform", "matching": "losses", "temperature": 5.0}


def test_teacher_assistants_are_logit_kd_with_one_model_between():
    assert METHODS["takd"].phases == METHODS["logit-kd"].phases
    assert {name: method.assistants for name, method in METHODS.items() if method.assistants} == {"takd": 1}


def test_what_ukd_ships_is_registered_through_the_entry_point(registry):
    for catalogue, offered in ((registry.methods, METHODS), (registry.terms, TERMS), (registry.projectors, PROJECTORS)):
        assert set(offered) <= set(catalogue)
    assert {"classes", "multilabel", "regression"} <= set(registry.output_spaces)
    assert "linear" in registry.pseudo_heads


def test_hidden_state_methods_differ_in_their_projector():
    projectors = {name: METHODS[name].phases[0].terms[2].options["projector"] for name in
                  ("pkd", "pkd-last", "alp-kd", "rail-kd", "rail-kd-concatenated")}
    assert projectors == {"pkd": "fixed:strategy=skip", "pkd-last": "fixed:strategy=last", "alp-kd": "attention",
                          "rail-kd": "random", "rail-kd-concatenated": "random"}


@pytest.mark.parametrize(("passed", "labels", "answer"), [
    (0, 0.0, 1.0), (10, 10 / 40, 30 / 40), (19, 19 / 40, 21 / 40), (20, 1.0, 0.0), (29, 1.0, 0.0)])
def test_continuation_weighs_labels_as_the_paper_does_in_its_30_passes(passed, labels, answer):
    (phase,) = METHODS["continuation-kd"].phases
    assert [term.weight_at(passed / 30) for term in phase.terms] == pytest.approx([labels, answer])


def test_a_weight_may_run_in_straight_lines():
    spec = TermSpec(term="t", weight=[[0.25, 1.0], [0.75, 3.0]])
    assert [spec.weight_at(progress) for progress in (0.0, 0.25, 0.5, 0.75, 0.9)] == [1.0, 1.0, 2.0, 3.0, 3.0]
    assert TermSpec(term="t", weight=2).weight_at(0.5) == 2.0


@pytest.mark.parametrize(("weight", "problem"), [
    ([], "expected one point or more, in the order of progress"),
    ([[0.5, 1.0], [0.2, 1.0]], "expected one point or more, in the order of progress"),
    ([[0.5, -1.0]], "greater than or equal to 0"), ([[1.5, 1.0]], "less than or equal to 1"),
    (-1.0, "greater than or equal to 0"), (float("inf"), "finite")])
def test_a_weight_that_cannot_be(weight, problem):
    with pytest.raises(ValidationError, match=problem):
        TermSpec(term="t", weight=weight)
