"""The laws of an output space, as checks that anybody can run on their own."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from ukd_core.output_space import OutputSpace
from ukd_core.testing import oracles
from ukd_core.testing.checks import (
    Case,
    Check,
    exceptions_of,
    expect,
    expect_close,
    expect_finite,
    expect_same,
    for_all,
    for_some,
)
from ukd_core.testing.parts import encoded, missing_labels, raw_labels
from ukd_core.testing.strategies import orders, score_pairs, temperatures

SURE = 20.0
"""Scores of an answer that leaves no doubt."""
NO_LABEL = "no such label, anywhere"


@dataclass(frozen=True, slots=True, eq=False)
class OutputSpaceCase(Case):
    """An output space to be checked, with what the kit must know of it."""

    kind: type[OutputSpace]
    """Its class."""
    values: Sequence[Any] | None = None
    """Values of a label column, all different, three or more; None: some that fit its `problem_type`."""
    divergence: Callable[[oracles.Array, oracles.Array, float], float] | None = None
    """The divergence of one unit computed another way: float64 (C,), (C,) and a temperature."""
    label_loss: Callable[[oracles.Array, Any], float] | None = None
    """The label loss of one unit computed another way: float64 (C,) and an encoded label as an array."""
    sure: Callable[[Tensor], Tensor] | None = None
    """Encoded labels, (units,) or (units, C), to scores (units, C) that answer them without doubt; None: ±20 for
    labels, the number itself for numbers."""

    word: ClassVar[str] = "output space"

    @property
    def checks(self) -> tuple[Check, ...]:
        """The laws of an output space."""
        return OUTPUT_SPACE_CHECKS

    def declared(self) -> Mapping[str, str]:
        """The `exceptions` of the class, where it has such an attribute."""
        return exceptions_of(self.kind)

    def not_applicable(self) -> frozenset[str]:
        """Without a reference there is nothing to compare with."""
        left_out = {"check_divergence_against_reference": self.divergence, "check_label_loss_against_reference":
                    self.label_loss}
        return frozenset(name for name, reference in left_out.items() if reference is None)

    @property
    def column(self) -> Sequence[Any]:
        """The values of the label column."""
        return raw_labels(self.kind) if self.values is None else self.values

    def space(self) -> OutputSpace:
        """The space for those values."""
        return self.kind(self.kind.label_names(self.column))

    def sure_scores(self, space: OutputSpace, labels: Tensor) -> Tensor:
        """Scores that answer encoded labels without doubt, shape (units, C), float64."""
        if self.sure is not None:
            return self.sure(labels).double()
        if labels.ndim == 2:
            return SURE * (2 * labels.double() - 1)
        if labels.is_floating_point():
            return labels.double().unsqueeze(-1)
        return SURE * torch.nn.functional.one_hot(labels, space.size).double()


@for_all
def check_label_names(case: OutputSpaceCase, data: st.DataObject) -> None:
    """Label names are different texts, at least one, whatever the order and number of the values."""
    values = list(case.column)
    names = case.kind.label_names(values)
    expect(case, isinstance(names, tuple) and len(names) > 0 and all(isinstance(name, str) for name in names),
           f"label_names expected a tuple of texts, got {names!r}")
    expect(case, len(set(names)) == len(names), f"label names repeat: {names!r}")
    shuffled = data.draw(st.permutations(values * 2))
    expect(case, case.kind.label_names(shuffled) == names, f"label names change with the order of rows: {names!r}")
    space = case.kind(names)
    expect(case, space.labels == names and space.size == len(names), f"size is {space.size} for the names {names!r}")


def check_encoding(case: OutputSpaceCase) -> None:
    """Every value of the column has an encoded label that counts as labelled; what is no label is a `ValueError`."""
    space = case.space()
    labels = encoded(space, case.column)
    expect(case, labels.ndim == 1 or labels.shape[1:] == (space.size,),
           f"encoded labels have the shape {tuple(labels.shape)}, expected (units,) or (units, C)")
    expect(case, bool(space.is_labelled(labels).all()), "an encoded label counts as missing")
    for wrong in (NO_LABEL, object()):
        try:
            space.encode(wrong)
        except ValueError:
            continue
        expect(case, False, f"encode takes {wrong!r}")


def check_encoding_round_trip(case: OutputSpaceCase) -> None:
    """Scores that answer a label without doubt give it back as prediction."""
    space = case.space()
    labels = encoded(space, case.column)
    answers = space.predictions(case.sure_scores(space, labels))
    expect_close(case, "predictions", answers.double(), labels.double())


@for_all
def check_missing_labels(case: OutputSpaceCase, data: st.DataObject) -> None:
    """`is_labelled` tells missing labels from others, unit by unit."""
    space = case.space()
    values = data.draw(st.lists(st.sampled_from([*case.column, None]), min_size=1, max_size=5))
    rows = [missing_labels(space, 1) if value is None else encoded(space, [value]) for value in values]
    labelled = space.is_labelled(torch.cat([row.to(missing_labels(space, 1).dtype) for row in rows]))
    expect(case, labelled.dtype == torch.bool and labelled.shape == (len(values),),
           f"is_labelled gave {labelled.dtype} {tuple(labelled.shape)}, expected bool {(len(values),)}")
    expect(case, labelled.tolist() == [value is not None for value in values],
           f"is_labelled gave {labelled.tolist()} for {values!r}")


@for_all
def check_divergence_shape(case: OutputSpaceCase, data: st.DataObject) -> None:
    """The divergence of all layers in one call, shape (..., units), is that of each layer and unit alone."""
    space = case.space()
    teacher, student = data.draw(score_pairs(space.size))
    temperature = data.draw(temperatures)
    together = space.divergence(teacher, student, temperature)
    expect(case, together.shape == teacher.shape[:-1],
           f"divergences have the shape {tuple(together.shape)}, expected (..., units) {tuple(teacher.shape[:-1])}")
    alone = torch.stack([torch.cat([space.divergence(layer[unit: unit + 1], other[unit: unit + 1], temperature)
                                    for unit in range(len(layer))])
                         for layer, other in zip(teacher, student, strict=True)])
    expect_close(case, "divergences of single units", alone, together)


@for_all
def check_divergence_is_not_negative(case: OutputSpaceCase, data: st.DataObject) -> None:
    """The divergence is 0 or more, but for rounding."""
    space = case.space()
    teacher, student = data.draw(score_pairs(space.size))
    temperature = data.draw(temperatures)
    smallest = float(space.divergence(teacher, student, temperature).min())
    scale = max(1.0, float(teacher.abs().max()), float(student.abs().max())) * max(1.0, temperature)
    expect(case, smallest >= -scale * 1e-12, f"a divergence is negative: {smallest:g}")


@for_all
def check_divergence_is_zero_at_equality(case: OutputSpaceCase, data: st.DataObject) -> None:
    """The divergence is exactly 0 for equal scores, in every precision, and positive for clearly different answers."""
    space = case.space()
    scores, _ = data.draw(score_pairs(space.size, dtype=data.draw(_precisions)))
    found = space.divergence(scores, scores.clone(), data.draw(temperatures))
    expect(case, bool((found == 0).all()), f"divergences of equal scores are {found.tolist()}")
    sure = case.sure_scores(space, encoded(space, case.column))
    apart = space.divergence(sure[:1], sure[1:2])
    expect(case, bool((apart > 0).all()), f"the divergence of different answers is {apart.tolist()}")


@for_all
def check_temperature(case: OutputSpaceCase, data: st.DataObject) -> None:
    """The temperature divides both sides, and its square multiplies: D_T(t, s) = T² · D_1(t / T, s / T)."""
    space = case.space()
    teacher, student = data.draw(score_pairs(space.size))
    temperature = data.draw(temperatures)
    expected = temperature**2 * space.divergence(teacher / temperature, student / temperature)
    expect_close(case, "divergences", space.divergence(teacher, student, temperature), expected)


@for_all
def check_shift_invariance(case: OutputSpaceCase, data: st.DataObject) -> None:
    """A constant added to all scores of a unit changes no loss where `shift_invariant` says so, and some elsewhere."""
    space, constant = case.space(), data.draw(st.floats(1.0, 100.0))
    if not space.shift_invariant:
        sure = case.sure_scores(space, encoded(space, case.column))
        change = space.divergence(sure, sure + constant)
        expect(case, bool((change > 0).any()), "shift_invariant is False, but an added constant changes nothing")
        return
    teacher, student = data.draw(score_pairs(space.size, kinds=("ordinary", "tied")))
    labels, moved = _some(case, space, data, student.shape[1]), student + constant
    expect_close(case, "divergences after a shift", space.divergence(teacher, moved),
                 space.divergence(teacher, student))
    expect_close(case, "label losses after a shift", space.label_loss(moved, labels),
                 space.label_loss(student, labels))


@for_all
def check_extreme_scores(case: OutputSpaceCase, data: st.DataObject) -> None:
    """Divergence, label loss and their gradients are finite for scores up to ±1e4, in float32 and in bfloat16."""
    space = case.space()
    dtype = data.draw(st.sampled_from([torch.float32, torch.bfloat16]))
    teacher, student = data.draw(score_pairs(space.size, kinds=("extreme",), dtype=dtype))
    labels = _some(case, space, data, student.shape[1])
    student.requires_grad_()
    for what, values in (("divergences", space.divergence(teacher, student, data.draw(temperatures))),
                         ("label losses", space.label_loss(student, labels))):
        expect_finite(case, what, values)
        expect_finite(case, f"gradients of {what}", torch.autograd.grad(values.sum(), student)[0])


@for_all
def check_half_precision(case: OutputSpaceCase, data: st.DataObject) -> None:
    """Scores in half precision are compared in float32: the same as the same numbers in float32."""
    space = case.space()
    half = data.draw(st.sampled_from([torch.bfloat16, torch.float16]))
    teacher, student = data.draw(score_pairs(space.size, kinds=("ordinary", "tied", "tiny"), dtype=half))
    temperature, labels = data.draw(temperatures), _some(case, space, data, student.shape[1])
    for what, narrow, wide in (
            ("divergences", space.divergence(teacher, student, temperature),
             space.divergence(teacher.float(), student.float(), temperature)),
            ("label losses", space.label_loss(student, labels), space.label_loss(student.float(), labels))):
        expect(case, narrow.dtype == torch.float32, f"{what} are {narrow.dtype}, expected float32")
        expect_close(case, what, narrow, wide)


@for_all
def check_label_loss(case: OutputSpaceCase, data: st.DataObject) -> None:
    """The label loss of all layers in one call is that of each unit alone, and least for an answer without doubt."""
    space = case.space()
    _, scores = data.draw(score_pairs(space.size))
    labels = _some(case, space, data, scores.shape[1])
    together = space.label_loss(scores, labels)
    expect(case, together.shape == scores.shape[:-1],
           f"label losses have the shape {tuple(together.shape)}, expected (..., units) {tuple(scores.shape[:-1])}")
    alone = torch.stack([torch.cat([space.label_loss(layer[unit: unit + 1], labels[unit: unit + 1])
                                    for unit in range(len(labels))]) for layer in scores])
    expect_close(case, "label losses of single units", alone, together)
    least = space.label_loss(case.sure_scores(space, labels), labels)
    expect(case, bool((together >= least - 1e-6).all()), "another answer has a smaller label loss than the right one")


@for_all
def check_unit_permutation(case: OutputSpaceCase, data: st.DataObject) -> None:
    """Permuting units permutes divergences, label losses and predictions."""
    space = case.space()
    teacher, student = data.draw(score_pairs(space.size, min_units=2))
    order, labels = data.draw(orders(student.shape[1])), _some(case, space, data, student.shape[1])
    expect_close(case, "divergences", space.divergence(teacher[:, order], student[:, order]),
                 space.divergence(teacher, student)[:, order])
    expect_close(case, "label losses", space.label_loss(student[:, order], labels[order]),
                 space.label_loss(student, labels)[:, order])
    expect_same(case, space.predictions(student[:, order]), space.predictions(student)[:, order],
                "predictions change with the order of units")


@for_all
def check_predictions(case: OutputSpaceCase, data: st.DataObject) -> None:
    """Predictions are labels: of their shape, never missing, and a label loss can be taken against them."""
    space = case.space()
    _, scores = data.draw(score_pairs(space.size))
    answers, labels = space.predictions(scores), encoded(space, case.column)
    expected = scores.shape[:-1] + labels.shape[1:]
    expect(case, answers.shape == expected,
           f"predictions have the shape {tuple(answers.shape)}, expected {tuple(expected)}")
    for layer, answer in zip(scores, answers, strict=True):
        expect(case, bool(space.is_labelled(answer).all()), f"a prediction counts as missing: {answer.tolist()}")
        expect_finite(case, "label losses against predictions", space.label_loss(layer, answer))


@for_some
def check_metrics(case: OutputSpaceCase, data: st.DataObject) -> None:
    """Metrics are finite numbers, `primary_metric` is among them, and no answer scores higher than the truth."""
    space = case.space()
    labels = encoded(space, case.column).numpy()
    scores = data.draw(score_pairs(space.size, kinds=("ordinary", "tied"), max_layers=1))[1][0]
    rows = torch.arange(len(labels)) % len(scores)
    answers = space.predictions(scores[rows]).numpy()
    best, found = space.metrics(_like(labels, answers), labels), space.metrics(answers, labels)
    for metrics in (best, found):
        expect(case, space.primary_metric in metrics,
               f"metrics are {sorted(metrics)}, expected the primary one, '{space.primary_metric}', among them")
        wrong = {name: value for name, value in metrics.items()
                 if not (isinstance(value, float) and math.isfinite(value))}
        expect(case, not wrong, f"metrics expected finite floats, got {wrong}")
    truth, other = best[space.primary_metric], found[space.primary_metric]
    expect(case, other <= truth + 1e-9, f"an answer has {space.primary_metric} {other:g}, the truth has {truth:g}")


@for_all
def check_descriptions(case: OutputSpaceCase, data: st.DataObject) -> None:
    """`describe` gives one JSON object a unit, of finite numbers, the same for a unit alone."""
    space = case.space()
    scores = data.draw(score_pairs(space.size, max_layers=1))[0][0]
    answers = space.describe(scores)
    expect(case, isinstance(answers, list) and len(answers) == len(scores)
           and all(isinstance(answer, dict) for answer in answers),
           f"describe gave {answers!r} for {len(scores)} units")
    try:
        json.dumps(answers, allow_nan=False)
    except (TypeError, ValueError) as error:
        expect(case, False, f"describe gave what JSON cannot hold: {error}")
    expect(case, space.describe(scores[-1:]) == answers[-1:], "the description of a unit depends on the others")


@for_all
def check_determinism(case: OutputSpaceCase, data: st.DataObject) -> None:
    """Asked twice about the same scores, it answers the same."""
    space = case.space()
    teacher, student = data.draw(score_pairs(space.size))
    expect_same(case, space.divergence(teacher, student), space.divergence(teacher, student),
                "the second divergence differs from the first")
    labels = _some(case, space, data, student.shape[1])
    expect_same(case, space.label_loss(student, labels), space.label_loss(student, labels),
                "the second label loss differs from the first")


@for_all
def check_divergence_against_reference(case: OutputSpaceCase, data: st.DataObject) -> None:
    """The divergence agrees with the case's own float64 reference; left out where it has none."""
    if case.divergence is None:
        return
    space = case.space()
    teacher, student = data.draw(score_pairs(space.size))
    temperature = data.draw(temperatures)
    expected = [[case.divergence(t, s, temperature) for t, s in zip(a, b, strict=True)]
                for a, b in zip(teacher.numpy(), student.numpy(), strict=True)]
    expect_close(case, "divergences", space.divergence(teacher, student, temperature),
                 torch.tensor(expected, dtype=torch.float64))


@for_all
def check_label_loss_against_reference(case: OutputSpaceCase, data: st.DataObject) -> None:
    """The label loss agrees with the case's own float64 reference; left out where it has none."""
    if case.label_loss is None:
        return
    space = case.space()
    _, scores = data.draw(score_pairs(space.size))
    labels = _some(case, space, data, scores.shape[1])
    expected = [[case.label_loss(row, label) for row, label in zip(layer, labels.numpy(), strict=True)]
                for layer in scores.numpy()]
    expect_close(case, "label losses", space.label_loss(scores, labels), torch.tensor(expected, dtype=torch.float64))


OUTPUT_SPACE_CHECKS: tuple[Check, ...] = (
    check_label_names, check_encoding, check_encoding_round_trip, check_missing_labels, check_divergence_shape,
    check_divergence_is_not_negative, check_divergence_is_zero_at_equality, check_temperature,
    check_shift_invariance, check_extreme_scores, check_half_precision, check_label_loss, check_unit_permutation,
    check_predictions, check_metrics, check_descriptions, check_determinism, check_divergence_against_reference,
    check_label_loss_against_reference,
)
"""All laws of an output space."""

_precisions = st.sampled_from([torch.float64, torch.float32, torch.bfloat16])


def _some(case: OutputSpaceCase, space: OutputSpace, data: st.DataObject, units: int) -> Tensor:
    """Encoded labels of some values of the column."""
    chosen = data.draw(st.lists(st.sampled_from(range(len(case.column))), min_size=units, max_size=units))
    return encoded(space, [case.column[index] for index in chosen])


def _like(labels: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """The labels as if they were predictions."""
    return labels.astype(answers.dtype)
