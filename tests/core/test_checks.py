"""Stacks and weights of wrong shapes are named with the shape that was expected."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ukd_core import Projector
from ukd_core.errors import ShapeError
from ukd_core.plugins import Registry


def refusal(projector: Projector, student: Tensor, teacher: Tensor) -> str:
    with pytest.raises(ShapeError) as caught:
        projector(student, teacher)
    return str(caught.value)


@pytest.mark.parametrize(("student", "teacher", "text"), [
    ((4, 3), (2, 4, 3), "student expected (layers ≥ 1, units, D), got (4, 3)."),
    ((2, 4, 3), (0, 4, 3), "teacher expected (layers ≥ 1, units, D), got (0, 4, 3)."),
    ((2, 4, 3), (5, 6, 3), "student (2, 4, 3) and teacher (5, 6, 3) expected to agree in units (axis 1)."),
    ((2, 4, 3), (5, 4, 2), "student (2, 4, 3) and teacher (5, 4, 2) expected to agree in D (axis 2)."),
])
def test_stacks_that_do_not_agree(registry: Registry, student: tuple[int, ...], teacher: tuple[int, ...], text: str):
    projector = registry.projectors.lookup("fixed")()
    assert refusal(projector, torch.zeros(student), torch.zeros(teacher)) == f"projector 'fixed': {text}"


def test_weights_of_another_shape():
    class Flat(Projector):
        name = "flat"

        def weights(self, student: Tensor, teacher: Tensor) -> Tensor:
            return torch.ones(len(teacher), len(student), student.shape[1])

    assert refusal(Flat(), torch.zeros(2, 4, 3), torch.zeros(5, 4, 3)) == (
        "projector 'flat': weights expected (S, T, units) = (2, 5, 4), got (5, 2, 4).")
