"""The laws of a divergence, for the spaces of classes and of several labels."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ukd_plugins.output_spaces.classes import ClassesSpace
from ukd_plugins.output_spaces.multilabel import MultilabelSpace
from ukd_plugins.output_spaces.regression import RegressionSpace

from ukd_core.testing import oracles
from ukd_core.testing.strategies import layer_stacks

temperatures = st.sampled_from([0.5, 1.0, 2.0, 20.0])
spaces = st.sampled_from([ClassesSpace("abc"), MultilabelSpace("abc")])


def pair(stacks):
    """Two stacks of one shape."""
    layers = min(map(len, stacks))
    return stacks[0][:layers], stacks[1][:layers]


def bernoulli_as_classes(logits):
    """A sigmoid is a softmax over the score and 0."""
    return torch.stack([logits, torch.zeros_like(logits)], dim=-1)


@given(layer_stacks(), temperatures)
def test_kl_agrees_with_the_float64_oracle(stacks, temperature):
    teacher, student = pair(stacks)
    actual = ClassesSpace("abc").divergence(teacher, student, temperature)
    for layer, unit in torch.cartesian_prod(*map(torch.arange, teacher.shape[:2])).tolist():
        expected = oracles.kl_divergence(teacher[layer, unit].numpy(), student[layer, unit].numpy(), temperature)
        assert actual[layer, unit].item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(layer_stacks(), temperatures)
def test_multilabel_divergence_is_the_sum_of_two_class_divergences(stacks, temperature):
    teacher, student = pair(stacks)
    actual = MultilabelSpace("abc").divergence(teacher, student, temperature)
    expected = ClassesSpace("ab").divergence(bernoulli_as_classes(teacher), bernoulli_as_classes(student), temperature)
    torch.testing.assert_close(actual, expected.sum(dim=-1), rtol=1e-9, atol=1e-9)


@given(spaces, layer_stacks(), temperatures)
def test_divergence_is_not_negative(space, stacks, temperature):
    assert (space.divergence(*pair(stacks), temperature) >= -1e-12 * temperature**2).all()


@given(spaces, layer_stacks(dtype=torch.bfloat16), temperatures)
def test_divergence_is_exactly_zero_for_equal_scores(space, stacks, temperature):
    scores, _ = stacks
    assert (space.divergence(scores, scores.clone(), temperature) == 0).all()


@given(spaces, layer_stacks(kinds=("ordinary",)), st.floats(0.5, 20.0))
def test_the_temperature_divides_both_sides_and_its_square_multiplies(space, stacks, temperature):
    teacher, student = pair(stacks)
    expected = temperature**2 * space.divergence(teacher / temperature, student / temperature)
    torch.testing.assert_close(space.divergence(teacher, student, temperature), expected)


@given(layer_stacks(kinds=("ordinary",)), st.floats(-1e3, 1e3), temperatures)
def test_kl_ignores_a_constant_added_to_all_scores_of_a_unit(stacks, constant, temperature):
    teacher, student = pair(stacks)
    space = ClassesSpace("abc")
    moved = space.divergence(teacher + constant, student - 2 * constant, temperature)
    torch.testing.assert_close(moved, space.divergence(teacher, student, temperature), rtol=1e-7, atol=1e-7)


@given(spaces, layer_stacks(kinds=("extreme",), dtype=torch.float32), temperatures,
       st.sampled_from([torch.float32, torch.bfloat16]))
def test_value_and_gradients_are_finite_for_great_scores(space, stacks, temperature, dtype):
    teacher, student = (side.to(dtype).requires_grad_() for side in pair(stacks))
    loss = space.divergence(teacher, student, temperature)
    loss.sum().backward()
    assert loss.isfinite().all() and student.grad.isfinite().all() and teacher.grad.isfinite().all()


@given(layer_stacks(kinds=("ordinary", "extreme")), temperatures)
def test_the_gradient_of_kl_is_temperature_times_the_difference_of_the_answers(stacks, temperature):
    teacher, student = pair(stacks)
    student.requires_grad_()
    ClassesSpace("abc").divergence(teacher, student, temperature).sum().backward()
    expected = temperature * ((student / temperature).softmax(-1) - (teacher / temperature).softmax(-1))
    torch.testing.assert_close(student.grad, expected.detach(), rtol=1e-7, atol=1e-9)


@given(layer_stacks(dtype=torch.bfloat16))
def test_half_precision_scores_are_compared_in_float32(stacks):
    teacher, student = pair(stacks)
    for space in (ClassesSpace("abc"), MultilabelSpace("abc"), RegressionSpace(["score"])):
        actual = space.divergence(teacher, student)
        assert actual.dtype == torch.float32
        torch.testing.assert_close(actual, space.divergence(teacher.float(), student.float()), rtol=0, atol=0)


@given(layer_stacks(max_width=1), temperatures)
def test_regression_divergence_is_the_squared_difference_at_any_temperature(stacks, temperature):
    teacher, student = pair(stacks)
    actual = RegressionSpace(["score"]).divergence(teacher, student, temperature)
    torch.testing.assert_close(actual, (teacher - student)[..., 0] ** 2)
