"""The presets that UKD ships: they name terms that exist with options that fit, and weigh them as documented."""

from __future__ import annotations

import pytest
from ukd_plugins import plugin

from ukd_core.spec import parse_spec, read_options

METHODS = {method.name: method for method in plugin.ukd_register_methods()}
TERMS = {term.name: term for term in plugin.ukd_register_terms()}
PROJECTORS = {projector.name: projector for projector in plugin.ukd_register_projectors()}


def loss_of(phase):
    return {term.key: term.weight for term in phase.terms}


def test_the_shipped_methods():
    assert set(METHODS) == {"none", "logit-kd", "universal-kd", "universal-kd-single-phase", "universal-kd-ta"}


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_a_method_is_complete(method):
    assert method.summary and method.source.endswith(".")
    assert sum(phase.share for phase in method.phases) == pytest.approx(1.0)
    for phase in method.phases:
        assert len({term.key for term in phase.terms}) == len(phase.terms)
        assert sum(term.weight for term in phase.terms) == pytest.approx(1.0)
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


def test_the_temperature_of_a_run_reaches_every_shipped_method():
    assert not any("temperature" in term.options
                   for method in METHODS.values() for phase in method.phases for term in phase.terms)


def test_what_ukd_ships_is_registered_through_the_entry_point(registry):
    for catalogue, offered in ((registry.methods, METHODS), (registry.terms, TERMS), (registry.projectors, PROJECTORS)):
        assert set(offered) <= set(catalogue)
    assert {"classes", "multilabel", "regression"} <= set(registry.output_spaces)
    assert "linear" in registry.pseudo_heads
