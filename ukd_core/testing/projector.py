"""The laws of a projector, as checks that anybody can run on their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from hypothesis import strategies as st
from torch import Tensor

from ukd_core.projector import Projection, Projector, ProjectorSetup
from ukd_core.testing import oracles
from ukd_core.testing.checks import Case, Check, expect, expect_close, for_all, repeatable, seeded
from ukd_core.testing.parts import labelled_scores
from ukd_core.testing.strategies import fractions, layer_stacks, orders


@dataclass(frozen=True, slots=True, eq=False)
class ProjectorCase(Case):
    """A projector to be checked, with what the kit must know of it."""

    make: Callable[[ProjectorSetup], Projector]
    """Builds one for given layer counts and width; called for every drawn input."""
    reference: Callable[[oracles.Array, oracles.Array], oracles.Array] | None = None
    """The same weights computed another way: float64 (S, units, D) and (T, units, D) to (S, T, units)."""

    word: ClassVar[str] = "projector"

    @property
    def checks(self) -> tuple[Check, ...]:
        """The laws of a projector."""
        return PROJECTOR_CHECKS

    def declared(self) -> Mapping[str, str]:
        """The `exceptions` of what `make` builds."""
        return self.make(projector_setup(1, 1, 2)).exceptions

    def not_applicable(self) -> frozenset[str]:
        """Without a reference there is nothing to compare with."""
        return frozenset() if self.reference is not None else frozenset({"check_against_reference"})


@for_all
def check_weights_are_shares(case: ProjectorCase, data: st.DataObject) -> None:
    """Weights have the shape (S, T, units) and the student's dtype, are ≥ 0 and sum to 1 over teacher layers."""
    student, teacher = data.draw(layer_stacks())
    _expect_shares(case, student, teacher, _project(case, student, teacher, data.draw(fractions)))


@for_all
def check_targets_are_mixtures(case: ProjectorCase, data: st.DataObject) -> None:
    """Targets are the weighted means of teacher layers, so they lie in the convex hull of these."""
    student, teacher = data.draw(layer_stacks())
    projection = _project(case, student, teacher, data.draw(fractions))
    expected = oracles.mix(projection.weights.detach().numpy(), teacher.numpy())
    expect_close(case, "targets", projection.targets, torch.from_numpy(expected))


@for_all
def check_teacher_permutation(case: ProjectorCase, data: st.DataObject) -> None:
    """Permuting teacher layers, those of held-out rows as well, permutes weights and leaves targets."""
    student, teacher = data.draw(layer_stacks(min_teachers=2))
    order, fraction = data.draw(orders(len(teacher))), data.draw(fractions)
    before = _project(case, student, teacher, fraction)
    after = _project(case, student, teacher[order], fraction, order)
    expect_close(case, "weights", after.weights, before.weights[:, order])
    expect_close(case, "targets", after.targets, before.targets)


@for_all
def check_unit_permutation(case: ProjectorCase, data: st.DataObject) -> None:
    """Permuting units permutes weights and targets."""
    student, teacher = data.draw(layer_stacks(min_units=2, max_units=3))
    order, fraction = data.draw(orders(student.shape[1])), data.draw(fractions)
    before = _project(case, student, teacher, fraction)
    after = _project(case, student[:, order], teacher[:, order], fraction)
    expect_close(case, "weights", after.weights, before.weights[:, :, order])
    expect_close(case, "targets", after.targets, before.targets[:, order])


@for_all
def check_one_teacher_layer(case: ProjectorCase, data: st.DataObject) -> None:
    """A teacher of one layer gives that layer to every student layer."""
    student, teacher = data.draw(layer_stacks())
    projection = _project(case, student, teacher[:1], data.draw(fractions))
    expect_close(case, "targets", projection.targets, teacher[:1].expand_as(student))


@for_all
def check_copies_of_one_layer(case: ProjectorCase, data: st.DataObject) -> None:
    """Teacher layers that are all the same give that layer to every student layer."""
    student, teacher = data.draw(layer_stacks())
    copies = teacher[:1].expand_as(teacher).clone()
    projection = _project(case, student, copies, data.draw(fractions))
    expect_close(case, "targets", projection.targets, teacher[:1].expand_as(student))


@for_all
def check_no_gradient_to_teacher(case: ProjectorCase, data: st.DataObject) -> None:
    """Neither targets nor weights carry a gradient to the teacher."""
    student, teacher = data.draw(layer_stacks())
    projection = _project(case, student.requires_grad_(), teacher.requires_grad_(), data.draw(fractions))
    loss = projection.targets.square().sum() + projection.weights.square().sum()
    gradient = torch.autograd.grad(loss, teacher, allow_unused=True)[0] if loss.requires_grad else None
    expect(case, gradient is None or not bool(gradient.any()), "a gradient reaches the teacher")


@for_all
def check_extreme_scores(case: ProjectorCase, data: st.DataObject) -> None:
    """Values and gradients are finite for scores up to ±1e4, in float32 and in bfloat16."""
    dtype = data.draw(st.sampled_from([torch.float32, torch.bfloat16]))
    student, teacher = data.draw(layer_stacks(kinds=("extreme",), dtype=dtype))
    projection = _project(case, student.requires_grad_(), teacher, data.draw(fractions))
    _expect_shares(case, student, teacher, projection)
    expect(case, bool(projection.targets.isfinite().all()), "targets are not finite")
    if projection.targets.requires_grad:
        gradient = torch.autograd.grad(projection.targets.sum(), student, allow_unused=True)[0]
        expect(case, gradient is None or bool(gradient.isfinite().all()), "gradients are not finite")


@for_all
def check_half_precision(case: ProjectorCase, data: st.DataObject) -> None:
    """In bfloat16 weights are shares and targets are near those of the same numbers in float64."""
    student, teacher = data.draw(layer_stacks(kinds=("ordinary", "tied", "tiny"), dtype=torch.bfloat16))
    fraction = data.draw(fractions)
    projection = _project(case, student, teacher, fraction)
    _expect_shares(case, student, teacher, projection)
    exact = _project(case, student.double(), teacher.double(), fraction)
    expect_close(case, "targets", projection.targets.double(), exact.targets, case.tolerance(torch.bfloat16))


@for_all
def check_determinism(case: ProjectorCase, data: st.DataObject) -> None:
    """Asked twice about the same stacks, it answers the same."""
    student, teacher = data.draw(layer_stacks())
    projector = _built(case, student, teacher)
    first, second = projector(student, teacher), projector(student, teacher)
    _expect_same(case, first, second, "the second answer differs from the first")


@for_all
def check_progress_alone_decides(case: ProjectorCase, data: st.DataObject) -> None:
    """What `on_progress` leaves behind follows from its last argument, so that a resumed run is the same run."""
    student, teacher = data.draw(layer_stacks())
    resumed, continued = _built(case, student, teacher), _built(case, student, teacher)
    for fraction in (0.0, 0.3, 0.8, 0.4):
        continued.on_progress(fraction)
        continued(student, teacher)
    resumed.on_progress(0.4)
    _expect_same(case, _answer(case, resumed, student, teacher), _answer(case, continued, student, teacher),
                 "what went before changes the answer")


@for_all
def check_state_round_trip(case: ProjectorCase, data: st.DataObject) -> None:
    """A new projector with the state_dict of another answers like it."""
    student, teacher = data.draw(layer_stacks())
    saved, loaded = _built(case, student, teacher), _built(case, student, teacher, seed=1)
    loaded.load_state_dict(saved.state_dict())
    _expect_same(case, _answer(case, saved, student, teacher), _answer(case, loaded, student, teacher),
                 "the state_dict does not hold all state")


def check_any_layer_counts(case: ProjectorCase) -> None:
    """Any S and T ≥ 1 are taken, more student than teacher layers included."""
    for students, teachers in ((1, 1), (1, 12), (2, 3), (3, 2), (5, 11), (6, 6), (12, 1), (7, 3)):
        generator = torch.Generator().manual_seed(0)
        student = torch.randn(students, 2, 3, generator=generator, dtype=torch.float64)
        teacher = torch.randn(teachers, 2, 3, generator=generator, dtype=torch.float64)
        _expect_shares(case, student, teacher, _project(case, student, teacher))


@for_all
def check_against_reference(case: ProjectorCase, data: st.DataObject) -> None:
    """Weights agree with the case's own reference; nothing to check where it has none."""
    if case.reference is None:
        return
    student, teacher = data.draw(layer_stacks())
    expected = case.reference(student.numpy(), teacher.numpy())
    expect_close(case, "weights", _project(case, student, teacher).weights, torch.from_numpy(expected))


PROJECTOR_CHECKS: tuple[Check, ...] = (
    check_weights_are_shares, check_targets_are_mixtures, check_teacher_permutation, check_unit_permutation,
    check_one_teacher_layer, check_copies_of_one_layer, check_no_gradient_to_teacher, check_extreme_scores,
    check_half_precision, check_determinism, check_progress_alone_decides, check_state_round_trip,
    check_any_layer_counts, check_against_reference,
)
"""All laws; their names are what `exceptions` and `expected_failures` refer to."""


def projector_setup(student_layers: int, teacher_layers: int, width: int, order: Tensor | None = None
                    ) -> ProjectorSetup:
    """What the kit builds projectors with: over class scores, with a few labelled rows.

    Args:
        student_layers: S.
        teacher_layers: T.
        width: D.
        order: Order of the teacher's layers in the labelled rows, shape (T,), int64; as they are where None.
    """
    rows = labelled_scores(teacher_layers, width)
    rows = rows if order is None else replace(rows, scores=rows.scores[order])
    return ProjectorSetup(student_layers, teacher_layers, width, held_out=lambda: rows)


def _built(case: ProjectorCase, student: Tensor, teacher: Tensor, seed: int = 0, order: Tensor | None = None
           ) -> Projector:
    setup = projector_setup(len(student), len(teacher), student.shape[-1], order)
    with seeded(seed):
        return case.make(setup).to(student.dtype).eval()


def _project(case: ProjectorCase, student: Tensor, teacher: Tensor, fraction: float | None = None,
             order: Tensor | None = None) -> Projection:
    projector = _built(case, student, teacher, order=order)
    if fraction is not None:
        projector.on_progress(fraction)
    return _answer(case, projector, student, teacher)


def _answer(case: ProjectorCase, projector: Projector, student: Tensor, teacher: Tensor) -> Projection:
    with repeatable(case):
        projection: Projection = projector(student, teacher)
    return projection


def _expect_same(case: ProjectorCase, first: Projection, second: Projection, problem: str) -> None:
    same = torch.equal(first.weights, second.weights) and torch.equal(first.targets, second.targets)
    expect(case, same, problem)


def _expect_shares(case: ProjectorCase, student: Tensor, teacher: Tensor, projection: Projection) -> None:
    weights = projection.weights
    shape = (len(student), len(teacher), student.shape[1])
    expect(case, weights.shape == shape,
           f"weights have the shape {tuple(weights.shape)}, expected (S, T, units) {shape}")
    expect(case, projection.targets.shape == student.shape,
           f"targets have the shape {tuple(projection.targets.shape)}, expected {tuple(student.shape)}")
    for what, tensor in (("weights", weights), ("targets", projection.targets)):
        expect(case, tensor.dtype == student.dtype, f"{what} are {tensor.dtype}, expected {student.dtype}")
    expect(case, bool((weights >= 0).all()), "weights are negative or not a number")
    sums = weights.detach().double().sum(dim=1)
    expect_close(case, "sums of weights", sums, torch.ones_like(sums), case.tolerance(weights.dtype))
