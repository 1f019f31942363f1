"""What the divergences are, beyond the laws of every output space, which are in `conformance/`."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from ukd_plugins.output_spaces.classes import ClassesSpace
from ukd_plugins.output_spaces.multilabel import MultilabelSpace

from ukd_core.testing.strategies import score_pairs, temperatures


def bernoulli_as_classes(logits):
    """A sigmoid is a softmax over the score and 0."""
    return torch.stack([logits, torch.zeros_like(logits)], dim=-1)


@settings(deadline=None)
@given(score_pairs(3), temperatures)
def test_multilabel_divergence_is_the_sum_of_two_class_divergences(pair, temperature):
    teacher, student = pair
    actual = MultilabelSpace("abc").divergence(teacher, student, temperature)
    expected = ClassesSpace("ab").divergence(bernoulli_as_classes(teacher), bernoulli_as_classes(student), temperature)
    torch.testing.assert_close(actual, expected.sum(dim=-1), rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(score_pairs(3, kinds=("ordinary", "extreme")), temperatures)
def test_the_gradient_of_kl_is_temperature_times_the_difference_of_the_answers(pair, temperature):
    teacher, student = pair
    student.requires_grad_()
    ClassesSpace("abc").divergence(teacher, student, temperature).sum().backward()
    expected = temperature * ((student / temperature).softmax(-1) - (teacher / temperature).softmax(-1))
    torch.testing.assert_close(student.grad, expected.detach(), rtol=1e-7, atol=1e-9)
