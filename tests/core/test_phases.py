"""Phases are checked before anything is built, and those without rows give their share to the others."""

from __future__ import annotations

import datasets
import pytest

from ukd_core import Phase, Recipe, TermSpec
from ukd_core.errors import InputError, UnknownNameError
from ukd_core.plugins import Registry
from ukd_core.run.data import TaskData
from ukd_core.run.phases import check_phases, checkpoint_interval, needs_states, usable_phases

RECIPE = Recipe.make({"teacher": "bert", "student": "cnn", "data": "d.csv", "output": "o"})


def phase(*terms: TermSpec | str, share: float = 1.0, name: str = "distil") -> Phase:
    return Phase(name=name, share=share,
                 terms=tuple(TermSpec(term=term) if isinstance(term, str) else term for term in terms))


def task(registry: Registry, *labels: int) -> TaskData:
    space = registry.output_spaces.lookup("classes")(["a", "b"])
    split = datasets.Dataset.from_dict({"text": ["oil"] * len(labels), "label": list(labels)})
    return TaskData({"train": split}, space, pairs=False)


def refusal(registry: Registry, *phases: Phase) -> str:
    with pytest.raises(InputError) as caught:
        check_phases(phases, RECIPE, registry)
    return str(caught.value)


def test_good_phases_pass(registry: Registry):
    twice = (TermSpec(term="logit-kd"), TermSpec(term="logit-kd", label="soft", options={"temperature": 4.0}))
    check_phases([phase(*twice, share=0.7), phase("hard-label", share=0.3)], RECIPE, registry)


def test_shares_are_a_whole(registry: Registry):
    assert refusal(registry, phase("hard-label", share=0.5), phase("logit-kd", share=0.25)) == (
        "phases: expected shares that sum to 1, got 0.75. Change the share of a phase.")


@pytest.mark.parametrize(("terms", "wrong"), [
    (("logit-kd", "hard-label", "logit-kd"), "logit-kd"),
    ((TermSpec(term="logit-kd", label="kd.soft"),), "kd.soft"),
    (("hard-label", TermSpec(term="logit-kd", label="hard-label")), "hard-label"),
    ((TermSpec(term="logit-kd", label="keys"),), "keys"),
    ((TermSpec(term="logit-kd", label="train"),), "train"),
])
def test_terms_of_a_phase_have_names_of_their_own(registry: Registry, terms: tuple[TermSpec | str, ...], wrong: str):
    assert refusal(registry, phase(*terms)) == (
        f"phase 'distil': expected a name without dots for each term, each once, got '{wrong}'. "
        "Give the term a label of its own.")


def test_unknown_terms_options_and_projectors(registry: Registry):
    with pytest.raises(UnknownNameError, match=r"^term 'logit': no such term\. Did you mean 'logit-kd'"):
        check_phases([phase("logit")], RECIPE, registry)
    assert refusal(registry, phase(TermSpec(term="logit-kd", options={"heat": 2}))).startswith(
        "term 'logit-kd': no option 'heat'. ")
    with pytest.raises(UnknownNameError, match=r"^projector 'atention': "):
        check_phases([phase("logit-kd")], RECIPE.model_copy(update={"projector": "atention"}), registry)


def test_a_method_of_labels_alone_needs_a_label(registry: Registry):
    phases = registry.methods.lookup("none").phases
    assert usable_phases(phases, registry, task(registry, -100, 1)) == list(phases)
    with pytest.raises(InputError) as caught:
        usable_phases(phases, registry, task(registry, -100, -100))
    assert str(caught.value) == ("data: the method trains on labels alone, but no training row has one. "
                                 "Choose a method that learns from the teacher, or give labels.")


def test_a_phase_of_labels_gives_its_share_away_where_none_are(registry: Registry):
    phases = [phase("logit-kd", share=0.5), phase("layer-kd", share=0.25), phase("hard-label", share=0.25)]
    left = usable_phases(phases, registry, task(registry, -100))
    assert [(each.terms[0].term, each.share) for each in left] == [
        ("logit-kd", pytest.approx(2 / 3)), ("layer-kd", pytest.approx(1 / 3))]


def test_states_are_kept_for_the_methods_on_hidden_states_alone(registry: Registry):
    asking = {name for name, method in registry.methods.items() if needs_states(method.phases, registry)}
    assert asking == {"pkd", "pkd-last", "alp-kd", "ckd", "rail-kd", "rail-kd-concatenated"}


@pytest.mark.parametrize(("rows", "own", "compared", "steps"), [
    (320, 320, True, 10),  # every pass
    (320, 320, False, 50),  # five passes
    (320, 256, False, 56),  # seven, for a pass is whole
    (320, 32, True, 10),  # ten passes over the labelled rows are one over all
    (320, 32, False, 50),
    (3200, 3200, False, 100),
    (1, 1, False, 50),
])
def test_checkpoints_are_on_the_ends_of_passes(rows: int, own: int, compared: bool, steps: int):
    assert checkpoint_interval(RECIPE.model_copy(update={"batch_size": 32}), rows, own, compared=compared) == steps
