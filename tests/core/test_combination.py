"""Methods combined with output-space matching: what becomes of every host, and who is none."""

from __future__ import annotations

import pytest

from ukd_core.errors import InputError, UnknownNameError
from ukd_core.run.combination import find_method, hosts


def terms(method):
    return [[(spec.term, spec.weight, spec.options) for spec in phase.terms] for phase in method.phases]


@pytest.mark.parametrize(("host", "matched"), [
    ("pkd", {"projector": "fixed:strategy=skip"}),
    ("pkd-last", {"projector": "fixed:strategy=last"}),
    ("alp-kd", {"projector": "attention", "include_final": True}),
    ("ckd", {"projector": "fixed:strategy=buckets", "include_final": True}),
    ("rail-kd", {"projector": "random"}),
])
def test_a_host_keeps_its_choice_of_layers_and_matches_them_in_the_output_space(registry, host, matched):
    own, combined = registry.methods[host], find_method(f"{host}+universal", registry)
    assert combined.name == f"{host}+universal"
    assert terms(combined) == [[*terms(own)[0][:2], ("layer-kd", 0.5, matched)]]


def test_annealing_lets_the_scores_of_layers_grow_too(registry):
    distil, finetune = terms(find_method("annealing-kd+universal", registry))
    assert distil == [("annealed-scores", 1.0, {"temperatures": 7}), ("layer-kd", 1.0, {"annealing": 7})]
    assert finetune == [("hard-label", 1.0, {})]


def test_continuation_fades_the_layers_with_the_answer(registry):
    ((labels, answer, layers),) = terms(find_method("continuation-kd+universal", registry))
    assert labels[0] == "hard-label" and layers == ("layer-kd", answer[1], {"annealing": 10})


def test_who_can_be_a_host(registry):
    assert set(hosts(registry)) >= {"pkd", "pkd-last", "alp-kd", "ckd", "rail-kd", "annealing-kd", "continuation-kd"}
    assert not {"none", "logit-kd", "universal-kd", "dih", "mhkd"} & set(hosts(registry))


def test_a_method_without_layers_is_no_host(registry):
    with pytest.raises(InputError) as refused:
        find_method("logit-kd+universal", registry)
    assert str(refused.value).startswith("method 'logit-kd+universal': expected a host that matches layers or lets "
                                         "scores grow, got 'logit-kd'. Hosts: alp-kd, ")


def test_unknown_hosts_are_named(registry):
    with pytest.raises(UnknownNameError, match="no such method"):
        find_method("magic+universal", registry)


def test_a_plain_name_is_the_registered_method(registry):
    assert find_method("pkd", registry) is registry.methods["pkd"]
