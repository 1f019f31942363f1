"""The three terms, against the float64 oracles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from ukd_plugins.output_spaces.classes import ClassesSpace
from ukd_plugins.output_spaces.multilabel import MultilabelSpace
from ukd_plugins.output_spaces.regression import RegressionSpace
from ukd_plugins.projectors.attention import AttentionOptions, AttentionProjector
from ukd_plugins.projectors.fixed import FixedOptions, FixedProjector
from ukd_plugins.projectors.teacher_assistant import TeacherAssistantProjector
from ukd_plugins.pseudo_heads.linear import LinearHead
from ukd_plugins.terms.hard_label import HardLabelOptions, HardLabelTerm
from ukd_plugins.terms.layer_kd import LayerKDOptions, LayerKDTerm
from ukd_plugins.terms.logit_kd import LogitKDOptions, LogitKDTerm

from ukd_core import LayerStates, ProjectorSetup, TermInput, TermSetup
from ukd_core.errors import InputError
from ukd_core.testing import oracles

CLASSES = ClassesSpace(["a", "b", "c"])
WIDTHS = (8, 6, 4)
PROJECTORS = {
    "attention": AttentionProjector,
    "attention:score=cosine": lambda options, setup: AttentionProjector(AttentionOptions(score="cosine"), setup),
    "teacher-assistant": TeacherAssistantProjector,
    "fixed:strategy=last": lambda options, setup: FixedProjector(FixedOptions(strategy="last"), setup),
}


def setup_of(space=CLASSES, widths=WIDTHS, teacher_layers=4, temperature=None, projector=None):
    def make_projector(spec, students, teachers):
        shape = ProjectorSetup(students, teachers, space.size, shift_invariant=space.shift_invariant)
        return PROJECTORS[spec](None, shape)

    return TermSetup(space=space, student_widths=widths, teacher_layers=teacher_layers, temperature=temperature,
                     projector=projector, make_projector=make_projector,
                     make_head=lambda width: LinearHead(width, space.size))


def batch_of(space=CLASSES, widths=WIDTHS, teacher_layers=4, units=5, labels=None, dtype=torch.float32):
    labels = torch.tensor([space.missing] * units) if labels is None else torch.as_tensor(labels)
    student = LayerStates(pooled=tuple(torch.randn(units, width).to(dtype) for width in widths),
                          logits=torch.randn(units, space.size).to(dtype).requires_grad_())
    return TermInput(student=student, labels=labels, labelled=space.is_labelled(labels),
                     teacher_scores=torch.randn(teacher_layers + 1, units, space.size))


def heads_of(term, batch):
    """The student's layer scores, in float64."""
    return np.stack([head(states).detach().double().numpy()
                     for head, states in zip(term.heads, batch.student.pooled, strict=False)])


def test_hard_label_is_the_mean_over_labelled_units():
    batch = batch_of(labels=[2, -100, 0, -100, 1])
    rows = batch.student.logits[[0, 2, 4]]
    torch.testing.assert_close(HardLabelTerm(None, setup_of())(batch),
                               nn.functional.cross_entropy(rows, torch.tensor([2, 0, 1])))


@pytest.mark.parametrize("space", [CLASSES, MultilabelSpace("abc"), RegressionSpace(["score"])], ids=lambda s: s.name)
def test_hard_label_without_labels_is_zero_with_a_gradient_of_zero(space):
    batch = batch_of(space)
    loss = HardLabelTerm(None, setup_of(space))(batch)
    loss.backward()
    assert loss.shape == () and loss.item() == 0.0
    assert (batch.student.logits.grad == 0).all()


@pytest.mark.parametrize(("option", "run", "used"), [(None, None, 1.0), (None, 4.0, 4.0), (2.0, None, 2.0),
                                                     (2.0, 4.0, 4.0)])
def test_the_temperature_is_the_runs_then_the_options_then_one(option, run, used):
    batch = batch_of()
    loss = LogitKDTerm(LogitKDOptions(temperature=option), setup_of(temperature=run))(batch)
    expected = np.mean([oracles.kl_divergence(teacher, student, used) for teacher, student in zip(
        batch.teacher_scores[-1].double().numpy(), batch.student.logits.detach().double().numpy(), strict=True)])
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_logit_kd_with_a_projector_mixes_all_heads_and_the_classifier():
    batch = batch_of()
    term = LogitKDTerm(LogitKDOptions(projector="attention", temperature=2.0), setup_of(teacher_layers=4))
    assert (term.projector.setup.student_layers, term.projector.setup.teacher_layers) == (1, 5)
    loss = term(batch)
    student = batch.student.logits.detach().double().numpy()[None]
    teacher = batch.teacher_scores.double().numpy()
    expected = oracles.universal_layer_loss(student, teacher, oracles.attention(student, teacher), 2.0)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_logit_kd_does_not_take_the_runs_projector():
    batch = batch_of()
    assert LogitKDTerm(None, setup_of(projector="attention"))(batch) == LogitKDTerm(None, setup_of())(batch)


def test_progress_reaches_the_projector_of_a_term():
    term = LogitKDTerm(LogitKDOptions(projector="teacher-assistant"), setup_of())
    batch = batch_of()
    term.on_progress(0.0)
    expected = CLASSES.divergence(batch.teacher_scores[0], batch.student.logits).mean()
    torch.testing.assert_close(term(batch), expected)
    term.on_progress(0.9)
    assert not torch.isclose(term(batch), expected)


@pytest.mark.parametrize("matching", ["logits", "losses"])
@pytest.mark.parametrize(("include_final", "layers"), [(False, (2, 3)), (True, (3, 4))])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize(("projector", "score"), [(None, "cosine"), ("attention", "dot")])
def test_layer_kd_agrees_with_the_float64_oracle(matching, include_final, layers, temperature, projector, score):
    term = LayerKDTerm(LayerKDOptions(matching=matching, include_final=include_final, projector=projector),
                       setup_of(temperature=temperature))
    batch = batch_of()
    student, teacher = heads_of(term, batch), batch.teacher_scores.double().numpy()[: layers[1]]
    assert len(student) == layers[0]
    weights = oracles.attention(student, teacher, cosine=score == "cosine")
    expected = oracles.universal_layer_loss(student, teacher, weights, temperature, over_losses=matching == "losses")
    assert term(batch).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("widths", "teacher_layers", "heads"), [((8,), 1, 1), ((8,), 5, 1), ((8, 8), 1, 1),
                                                                 ((8, 6, 4, 2), 2, 3)])
def test_models_of_one_layer_take_part_with_that_layer(widths, teacher_layers, heads):
    term = LayerKDTerm(None, setup_of(widths=widths, teacher_layers=teacher_layers))
    batch = batch_of(widths=widths, teacher_layers=teacher_layers)
    student, teacher = heads_of(term, batch), batch.teacher_scores.double().numpy()[: max(teacher_layers - 1, 1)]
    assert len(term.heads) == heads
    expected = oracles.universal_layer_loss(student, teacher, oracles.attention(student, teacher, cosine=True))
    assert term(batch).item() == pytest.approx(expected, rel=1e-5)


def test_layer_kd_takes_its_own_projector_before_the_runs():
    batch = batch_of()
    term = LayerKDTerm(LayerKDOptions(projector="attention"), setup_of(projector="fixed:strategy=last"))
    run = LayerKDTerm(None, setup_of(projector="fixed:strategy=last"))
    assert isinstance(term.projector, AttentionProjector) and isinstance(run.projector, FixedProjector)
    student = heads_of(run, batch)
    weights = np.zeros((2, 3, 5))
    weights[0, 1] = weights[1, 2] = 1.0
    expected = oracles.universal_layer_loss(student, batch.teacher_scores.double().numpy()[:3], weights)
    assert run(batch).item() == pytest.approx(expected, rel=1e-5)


def test_layer_kd_of_regression_is_the_squared_difference_from_the_mixture():
    space = RegressionSpace(["score"])
    term, batch = LayerKDTerm(None, setup_of(space)), batch_of(space)
    student, teacher = heads_of(term, batch), batch.teacher_scores.double().numpy()[:3]
    targets = oracles.mix(oracles.attention(student, teacher, cosine=True, centre=False), teacher)
    assert term(batch).item() == pytest.approx(((targets - student) ** 2).mean(axis=1).sum(), rel=1e-5)


@pytest.mark.parametrize("matching", ["logits", "losses"])
def test_layer_kd_teaches_the_heads_and_the_student_but_not_the_teacher(matching):
    term, batch = LayerKDTerm(LayerKDOptions(matching=matching), setup_of()), batch_of()
    batch.teacher_scores.requires_grad_()
    for states in batch.student.pooled:
        states.requires_grad_()
    term(batch).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in term.parameters())
    assert [states.grad is not None for states in batch.student.pooled] == [True, True, False]
    assert batch.teacher_scores.grad is None


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("kind", [LogitKDTerm, LayerKDTerm])
def test_half_precision_states_are_compared_in_full_precision(autocast, kind):
    term = kind(LayerKDOptions() if kind is LayerKDTerm else LogitKDOptions(projector="attention"), setup_of())
    batch = batch_of(dtype=torch.bfloat16)
    wide = TermInput(student=LayerStates(tuple(states.float() for states in batch.student.pooled),
                                         batch.student.logits.float()),
                     labels=batch.labels, labelled=batch.labelled, teacher_scores=batch.teacher_scores)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = term(batch)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, term(wide), rtol=0, atol=0)


def test_cached_half_precision_teacher_scores_are_accepted():
    batch = batch_of()
    half = TermInput(student=batch.student, labels=batch.labels, labelled=batch.labelled,
                     teacher_scores=batch.teacher_scores.half())
    term = LayerKDTerm(None, setup_of())
    torch.testing.assert_close(term(half), term(batch), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(("kind", "name"), [(LogitKDTerm, "logit-kd"), (LayerKDTerm, "layer-kd")])
def test_a_batch_without_teacher_scores_is_refused(kind, name):
    batch = batch_of()
    alone = TermInput(student=batch.student, labels=batch.labels, labelled=batch.labelled, teacher_scores=None)
    with pytest.raises(InputError) as error:
        kind(None, setup_of())(alone)
    assert str(error.value) == (f"term '{name}': expected teacher scores in the batch, got none. "
                                "Give the run a teacher, or leave this term out.")


def test_terms_say_what_they_need():
    assert HardLabelTerm.needs == {"labels"}
    assert LogitKDTerm.needs == LayerKDTerm.needs == {"teacher-scores"}


def test_a_linear_head_absorbs_the_standardisation_it_was_fitted_with():
    head, states = LinearHead(4, 3).double(), 5 + 3 * torch.randn(50, 4).double()
    mean, deviation = states.mean(0), states.std(0)
    expected = head((states - mean) / deviation)
    head.absorb_standardisation(mean.float().double(), deviation)
    torch.testing.assert_close(head(states), expected, rtol=1e-5, atol=1e-5)
    assert expected.shape == (50, 3) and head.width == 4 and head.size == 3


def test_balanced_classes_against_the_formula():
    """n / (C · n_c) for each row, in float64; a class without a row does no harm."""
    counts, labels = (70, 5, 0), [0, 1, 1, 0, -100]
    setup = replace(setup_of(), class_counts=counts)
    batch = batch_of(labels=labels)
    logits = batch.student.logits.detach().double().numpy()[:4]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    weights = np.array([75 / (3 * 70), 75 / (3 * 5)])
    known = np.array(labels[:4])
    expected = (weights[known] * -np.log(shares[np.arange(4), known])).mean()
    for term in (HardLabelTerm(HardLabelOptions(class_weights="balanced"), setup),
                 HardLabelTerm(None, replace(setup, class_weights="balanced"))):
        loss = term(batch)
        assert loss.item() == pytest.approx(expected, rel=1e-6)
        assert loss.requires_grad and not list(term.parameters()) and not term.state_dict()
    plain = HardLabelTerm(HardLabelOptions(class_weights="none"), replace(setup, class_weights="balanced"))
    assert plain(batch).item() == pytest.approx((-np.log(shares[np.arange(4), known])).mean(), rel=1e-6)
    assert plain(batch).item() != pytest.approx(expected, rel=0.01)


def test_equal_classes_are_balanced_already():
    batch = batch_of(labels=[0, 1, 2, 0, 1])
    setup = replace(setup_of(), class_counts=(4, 4, 4))
    plain, balanced = (HardLabelTerm(HardLabelOptions(class_weights=choice), setup)
                       for choice in ("none", "balanced"))
    assert balanced(batch).item() == pytest.approx(plain(batch).item())


def test_classes_that_are_none_cannot_be_balanced():
    space = MultilabelSpace(["a", "b"])
    with pytest.raises(InputError) as caught:
        HardLabelTerm(None, replace(setup_of(space=space), class_weights="balanced"))
    assert str(caught.value) == ("class_weights 'balanced': expected one class for each text, got output space "
                                 "'multilabel'. Use class_weights none.")


def test_several_labels_are_told_apart_where_a_softmax_would_not():
    """A constant added to all scores of a unit changes every sigmoid and no softmax, which would learn nothing."""
    space = MultilabelSpace(["a", "b", "c"])
    term = LogitKDTerm(LogitKDOptions(temperature=2.0), setup_of(space=space))
    batch = batch_of(space=space, units=4)
    teacher = batch.student.logits.detach() + 3.0
    loss = term(replace(batch, teacher_scores=teacher.expand(5, 4, 3)))
    t, s = (scores.double().numpy() / 2.0 for scores in (teacher, batch.student.logits.detach()))
    p, q = 1 / (1 + np.exp(-t)), 1 / (1 + np.exp(-s))
    expected = 4.0 * (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).sum(axis=1).mean()
    assert loss.item() == pytest.approx(expected, rel=1e-5) and expected > 0.5
    softmax = LogitKDTerm(LogitKDOptions(temperature=2.0), setup_of())
    assert softmax(replace(batch, teacher_scores=teacher.expand(5, 4, 3))).item() == pytest.approx(0.0, abs=1e-6)
    (gradient,) = torch.autograd.grad(loss, batch.student.logits)
    # d/ds of T²·KL is T·(q − p) for each label, over the number of units
    np.testing.assert_allclose(gradient.double().numpy(), 2.0 * (q - p) / 4, rtol=1e-4)
