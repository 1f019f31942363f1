"""What a case is tried with: output spaces, their labels, projectors and heads, out of a registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from ukd_core.catalogue import Registry
from ukd_core.output_space import OutputSpace
from ukd_core.plugins import load_registry
from ukd_core.projector import HeldOut, Projector, ProjectorSetup
from ukd_core.pseudo_head import PseudoHead
from ukd_core.spec import parse_spec, read_options
from ukd_core.term import MakeProjector

RAW_LABELS: Mapping[str, tuple[Any, ...]] = {
    "single_label_classification": ("ant", "bee", "cat"),
    "multi_label_classification": (["ant"], ["bee", "cat"], [], ["cat"]),
    "regression": (0.5, -1.25, 3.0, 3.5),
}
"""Values of a label column, by the `problem_type` of an output space."""

HELD_OUT = 6
"""Labelled rows that a projector is given."""


@cache
def installed() -> Registry:
    """Everything that is installed, loaded once; what cases without a registry of their own use."""
    return load_registry()


def raw_labels(kind: type[OutputSpace]) -> tuple[Any, ...]:
    """Values of a label column that an output space should read; those of classes where its kind is not known."""
    return RAW_LABELS.get(kind.problem_type, RAW_LABELS["single_label_classification"])


def small_space(kind: type[OutputSpace]) -> OutputSpace:
    """An output space of few scores: three for labels, one for numbers."""
    return kind(kind.label_names(raw_labels(kind)))


def some_labels(space: OutputSpace, units: int, generator: torch.Generator) -> Tensor:
    """Encoded labels of random answers, shape (units,) or (units, C), in the dtype that holds missing ones too."""
    answers = space.predictions(torch.randn(units, space.size, generator=generator))
    return answers.to(missing_labels(space, 1).dtype)


def missing_labels(space: OutputSpace, units: int) -> Tensor:
    """Labels of units without one, shape (units,) or (units, C)."""
    return torch.tensor([space.missing] * units)


def encoded(space: OutputSpace, values: Sequence[Any]) -> Tensor:
    """Raw labels as a run keeps them: shape (units,) or (units, C), whole numbers as int64, others as float32."""
    labels = torch.as_tensor([space.encode(value) for value in values])
    return labels.float() if labels.is_floating_point() else labels


def projectors_of(registry: Registry, space: OutputSpace) -> MakeProjector:
    """What builds projectors over the scores of `space`, or over hidden states."""

    def make(spec: str, student_layers: int, teacher_layers: int, width: int | None = None) -> Projector:
        parsed = parse_spec(spec)
        kind = registry.projectors.lookup(parsed.name)
        options = read_options(kind.Options, parsed.options, f"projector '{parsed.name}'")
        shape = (space.size, space.shift_invariant) if width is None else (width, False)
        held_out = partial(labelled_rows, space, teacher_layers) if width is None else None
        return kind(options, ProjectorSetup(student_layers, teacher_layers, *shape, held_out=held_out))

    return make


def labelled_rows(space: OutputSpace, layers: int) -> HeldOut:
    """A teacher's random scores of a few labelled rows, the same for each number of layers."""
    generator = torch.Generator().manual_seed(layers)
    labels = some_labels(space, HELD_OUT, generator)
    return HeldOut(torch.randn(layers, HELD_OUT, space.size, generator=generator), labels,
                   lambda scores: space.label_loss(scores, labels))


def labelled_scores(layers: int, width: int) -> HeldOut:
    """The same where no output space is known: the loss is the squared distance from random answers."""
    generator = torch.Generator().manual_seed(layers)
    answers = torch.randn(HELD_OUT, width, generator=generator)
    return HeldOut(torch.randn(layers, HELD_OUT, width, generator=generator), answers,
                   lambda scores: (scores - answers).square().sum(dim=-1))


class FirstColumns(PseudoHead):
    """A head without weights: the scores are the first C features of the state, so a test can choose them."""

    name = "first-columns"
    summary = "the first features of a state, for tests"

    def forward(self, states: Tensor) -> Tensor:
        """Cut: shape (units, width) to (units, C); the width must be C or more."""
        return states[:, : self.size]

    def absorb_standardisation(self, mean: Tensor, deviation: Tensor) -> None:
        """Nothing to fold: this head is never fitted."""
