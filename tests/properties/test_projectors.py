"""What the shipped projectors compute; the laws that all of them keep are in `conformance/`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ukd_plugins.projectors.attention import AttentionOptions, AttentionProjector
from ukd_plugins.projectors.fixed import FixedOptions, FixedProjector
from ukd_plugins.projectors.teacher_assistant import TeacherAssistantOptions, TeacherAssistantProjector

from ukd_core import ProjectorSetup
from ukd_core.errors import InputError, ShapeError
from ukd_core.testing import oracles
from ukd_core.testing.strategies import layer_stacks


@settings(deadline=None)
@given(layer_stacks(kinds=("ordinary",)), st.floats(-100.0, 100.0))
def test_attention_ignores_a_constant_added_to_a_layer(stacks, constant):
    student, teacher = stacks
    shifted = teacher.clone()
    shifted[0] += constant
    setup = ProjectorSetup(len(student), len(teacher), student.shape[-1])
    plain = AttentionProjector(AttentionOptions(centre=True), setup)
    torch.testing.assert_close(plain(student, shifted).weights, plain(student, teacher).weights, rtol=0, atol=1e-9)


def test_attention_without_centring_follows_an_added_constant():
    student = torch.tensor([[[2.0, 0.0]]])
    teacher = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    weights = AttentionProjector(AttentionOptions(centre=False))(student, teacher).weights[0, :, 0]
    torch.testing.assert_close(weights, torch.tensor([2.0, 0.0]).softmax(0))
    teacher[1] += 5.0
    weights = AttentionProjector(AttentionOptions(centre=False))(student, teacher).weights[0, :, 0]
    torch.testing.assert_close(weights, torch.tensor([2.0, 10.0]).softmax(0))


@pytest.mark.parametrize(("shift_invariant", "width", "centred"),
                         [(True, 3, True), (True, 1, False), (False, 3, False)])
def test_attention_centres_by_itself_where_scores_are_shift_invariant(shift_invariant, width, centred):
    student, teacher = torch.randn(2, 4, width).double(), torch.randn(3, 4, width).double()
    projector = AttentionProjector(None, ProjectorSetup(2, 3, width, shift_invariant=shift_invariant))
    expected = oracles.attention(student.numpy(), teacher.numpy(), centre=centred)
    np.testing.assert_allclose(projector(student, teacher).weights, expected, atol=1e-12)


@pytest.mark.parametrize("detach", [False, True])
def test_detach_keeps_the_gradient_out_of_the_weights(detach):
    student = torch.randn(2, 3, 4, requires_grad=True)
    projection = AttentionProjector(AttentionOptions(detach=detach))(student, torch.randn(5, 3, 4))
    assert projection.weights.requires_grad is not detach


def test_attention_under_autocast_scores_in_full_precision():
    student, teacher = torch.randn(2, 3, 4), torch.randn(5, 3, 4)
    expected = AttentionProjector()(student, teacher).weights
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(AttentionProjector()(student, teacher).weights, expected, rtol=0, atol=0)


def test_attention_rounds_half_precision_only_at_the_end():
    student, teacher = 2 * torch.randn(2, 9, 4).bfloat16(), 2 * torch.randn(5, 9, 4).bfloat16()
    expected = AttentionProjector()(student.float(), teacher.float()).weights.bfloat16()
    torch.testing.assert_close(AttentionProjector()(student, teacher).weights, expected, rtol=0, atol=0)


def test_attention_is_finite_for_wide_stacks_of_great_scores_and_a_tiny_temperature():
    student = torch.full((1, 1, 500), 1e4)
    student[..., ::2] = -1e4
    student.requires_grad_()
    teacher = torch.cat([student.detach(), -student.detach()])
    projection = AttentionProjector(AttentionOptions(temperature=1e-6))(student, teacher)
    projection.targets.sum().backward()
    assert projection.weights.flatten().tolist() == [1.0, 0.0]
    assert student.grad.isfinite().all()


def test_cosine_of_equal_scores_is_even_with_a_bounded_gradient():
    student = torch.zeros(1, 1, 3, requires_grad=True)
    projection = AttentionProjector(AttentionOptions(score="cosine"))(student, torch.randn(4, 1, 3))
    projection.targets.sum().backward()
    assert projection.weights.flatten().tolist() == [0.25] * 4
    assert student.grad.abs().max() < 1e5


@pytest.mark.parametrize(("strategy", "students", "teachers", "expected"), [
    ("skip", 5, 11, [1, 3, 5, 7, 9]),  # PKD: teacher layers 2, 4, 6, 8, 10 of 12 for a student of 6
    ("skip", 4, 4, [0, 1, 2, 3]),
    ("skip", 2, 5, [1, 3]),
    ("skip", 1, 1, [0]),
    ("skip", 4, 2, [0, 0, 0, 1]),
    ("last", 5, 11, [6, 7, 8, 9, 10]),  # PKD: teacher layers 7–11
    ("last", 3, 1, [0, 0, 0]),
    ("last", 3, 2, [0, 0, 1]),
])
def test_fixed_maps_are_those_documented(strategy, students, teachers, expected):
    projector = FixedProjector(FixedOptions(strategy=strategy))
    projection = projector(torch.zeros(students, 2, 3), torch.zeros(teachers, 2, 3))
    assert projection.weights.argmax(dim=1)[:, 0].tolist() == expected
    assert set(projection.weights.unique().tolist()) <= {0.0, 1.0}


def test_pairs_average_several_teacher_layers_of_one_student_layer():
    projector = FixedProjector(FixedOptions(strategy="pairs", pairs=[[0, 2], [1, 0], [1, 1], [1, 1]]))
    weights = projector(torch.zeros(2, 1, 3), torch.zeros(3, 1, 3)).weights[..., 0]
    assert weights.tolist() == [[0.0, 0.0, 1.0], [0.5, 0.5, 0.0]]


@pytest.mark.parametrize(("pairs", "message"), [
    ([[0, 3]], "projector 'fixed': expected layers that exist, got teacher layer 3 in pair [0, 3]. "
               "Valid teacher layers are 0..2."),
    ([[0, 0], [-1, 0]], "projector 'fixed': expected layers that exist, got student layer -1 in pair [-1, 0]. "
                        "Valid student layers are 0..1."),
    ([[1, 0]], "projector 'fixed': expected a teacher layer for every student layer, got none for [0]. "
               "List a pair for each of the student layers 0..1."),
])
def test_pairs_that_do_not_fit_are_refused(pairs, message):
    projector = FixedProjector(FixedOptions(strategy="pairs", pairs=pairs))
    with pytest.raises(InputError) as error:
        projector(torch.zeros(2, 1, 3), torch.zeros(3, 1, 3))
    assert str(error.value) == message


@pytest.mark.parametrize(("fraction", "layers"),
                         [(0.0, 1), (0.1, 1), (0.125, 2), (0.3, 3), (0.499, 4), (0.5, 5), (0.9, 5)])
def test_layers_join_the_assistant_from_shallow_to_deep(fraction, layers):
    student, teacher = torch.randn(1, 6, 3), torch.randn(5, 6, 3)
    projector = TeacherAssistantProjector()
    projector.on_progress(fraction)
    weights = projector(student, teacher).weights
    assert (weights[:, :layers] > 0).all() and (weights[:, layers:] == 0).all()
    torch.testing.assert_close(weights[:, :layers], AttentionProjector()(student, teacher[:layers]).weights)


def test_an_assistant_without_schedule_uses_all_layers_from_the_start():
    projector = TeacherAssistantProjector(TeacherAssistantOptions(schedule="none"))
    projector.on_progress(0.0)
    assert (projector(torch.randn(1, 6, 3), torch.randn(5, 6, 3)).weights > 0).all()


def test_stacks_that_disagree_are_refused():
    with pytest.raises(ShapeError) as error:
        AttentionProjector()(torch.zeros(1, 2, 3), torch.zeros(1, 2, 4))
    assert str(error.value) == ("projector 'attention': student (1, 2, 3) and teacher (1, 2, 4) expected to agree in D "
                                "(axis 2).")
