"""The laws of a pseudo head, as checks that anybody can run on their own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from hypothesis import strategies as st
from torch import Tensor

from ukd_core.pseudo_head import PseudoHead
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
    repeatable,
    seeded,
)
from ukd_core.testing.strategies import orders, pooled_states

_sizes = st.integers(1, 3)


@dataclass(frozen=True, slots=True, eq=False)
class PseudoHeadCase(Case):
    """A pseudo head to be checked, with what the kit must know of it."""

    make: Callable[[int, int], PseudoHead]
    """(width, C) -> a head with fresh weights; called for every drawn input."""
    reference: Callable[[PseudoHead, oracles.Array], oracles.Array] | None = None
    """The same scores computed another way from a head's weights: float64 (units, width) to (units, C)."""

    word: ClassVar[str] = "pseudo head"

    @property
    def checks(self) -> tuple[Check, ...]:
        """The laws of a pseudo head."""
        return PSEUDO_HEAD_CHECKS

    def declared(self) -> Mapping[str, str]:
        """The `exceptions` of the class (or of what `make` builds), where it has such an attribute."""
        return exceptions_of(self.make if isinstance(self.make, type) else self.make(2, 2))

    def not_applicable(self) -> frozenset[str]:
        """Without a reference there is nothing to compare with."""
        return frozenset() if self.reference is not None else frozenset({"check_against_reference"})


@for_all
def check_scores_shape(case: PseudoHeadCase, data: st.DataObject) -> None:
    """States (units, width) become finite scores (units, C), same dtype and device; `width` and `size` are kept."""
    dtype = data.draw(st.sampled_from([torch.float64, torch.float32]))
    states, size = data.draw(pooled_states(dtype=dtype)), data.draw(_sizes)
    head = _built(case, states, size)
    scores = _scores(case, head, states)
    expected = (len(states), size)
    expect(case, tuple(scores.shape) == expected,
           f"scores have the shape {tuple(scores.shape)}, expected (units, C) {expected}")
    expect(case, scores.dtype == dtype, f"scores are {scores.dtype}, expected {dtype}")
    expect(case, scores.device == states.device, f"scores are on {scores.device}, expected {states.device}")
    expect_finite(case, "scores", scores)
    expect(case, (head.width, head.size) == (states.shape[1], size),
           f"width and size are {(head.width, head.size)}, expected {(states.shape[1], size)}")


@for_all
def check_unit_permutation(case: PseudoHeadCase, data: st.DataObject) -> None:
    """Permuting units permutes scores."""
    states = data.draw(pooled_states(min_units=2))
    order, head = data.draw(orders(len(states))), _built(case, states, data.draw(_sizes))
    expect_close(case, "scores", _scores(case, head, states[order]), _scores(case, head, states)[order])


@for_all
def check_units_are_independent(case: PseudoHeadCase, data: st.DataObject) -> None:
    """A unit has the same scores alone as among others."""
    states = data.draw(pooled_states(min_units=2))
    head = _built(case, states, data.draw(_sizes))
    alone = torch.cat([_scores(case, head, states[unit: unit + 1]) for unit in range(len(states))])
    expect_close(case, "scores of single units", alone, _scores(case, head, states))


@for_all
def check_absorb_standardisation(case: PseudoHeadCase, data: st.DataObject) -> None:
    """After `absorb_standardisation` the head scores raw states as it scored standardised ones before."""
    states = data.draw(pooled_states(kinds=("ordinary", "tied")))
    width = states.shape[1]
    mean = torch.tensor(data.draw(st.lists(st.floats(-50.0, 50.0), min_size=width, max_size=width)))
    deviation = torch.tensor(data.draw(st.lists(st.floats(0.1, 20.0), min_size=width, max_size=width)))
    mean, deviation = mean.to(states), deviation.to(states)
    head = _built(case, states, data.draw(_sizes))
    expected = _scores(case, head, (states - mean) / deviation).detach()
    head.absorb_standardisation(mean, deviation)
    expect_close(case, "scores after absorb_standardisation", _scores(case, head, states), expected)


@for_all
def check_state_round_trip(case: PseudoHeadCase, data: st.DataObject) -> None:
    """A new head with the state_dict of another scores like it, also after `absorb_standardisation`."""
    states, size = data.draw(pooled_states()), data.draw(_sizes)
    saved, loaded = _built(case, states, size), _built(case, states, size, seed=1)
    saved.absorb_standardisation(states.new_full((states.shape[1],), 3.0), states.new_full((states.shape[1],), 0.5))
    loaded.load_state_dict(saved.state_dict())
    expect_same(case, _scores(case, saved, states), _scores(case, loaded, states),
                "the state_dict does not hold all state")


@for_all
def check_gradients(case: PseudoHeadCase, data: st.DataObject) -> None:
    """A gradient reaches the states and every trainable weight, and is finite."""
    states = data.draw(pooled_states(kinds=("ordinary", "tiny"))).requires_grad_()
    head = _built(case, states, data.draw(_sizes)).train()
    parameters = {name: weight for name, weight in head.named_parameters() if weight.requires_grad}
    scores = _scores(case, head, states)
    expect(case, scores.requires_grad, "scores carry no gradient")
    gradients = torch.autograd.grad(scores.square().sum() + scores.sum(), [states, *parameters.values()],
                                    allow_unused=True)
    for name, gradient in zip(["the states", *parameters], gradients, strict=True):
        expect(case, gradient is not None, f"no gradient reaches {name}")
        expect_finite(case, f"gradients of {name}", gradient)


@for_all
def check_extreme_states(case: PseudoHeadCase, data: st.DataObject) -> None:
    """Scores and gradients are finite for states up to ±1e4, in float32 and in bfloat16."""
    dtype = data.draw(st.sampled_from([torch.float32, torch.bfloat16]))
    states = data.draw(pooled_states(kinds=("extreme",), dtype=dtype)).requires_grad_()
    scores = _scores(case, _built(case, states, data.draw(_sizes)), states)
    expect_finite(case, "scores", scores)
    if scores.requires_grad:
        expect_finite(case, "gradients", torch.autograd.grad(scores.sum(), states, allow_unused=True)[0])


@for_all
def check_half_precision(case: PseudoHeadCase, data: st.DataObject) -> None:
    """In bfloat16 scores are near those of the same states and weights in float64."""
    states = data.draw(pooled_states(kinds=("ordinary", "tied", "tiny"), dtype=torch.bfloat16))
    head = _built(case, states, data.draw(_sizes))
    wide = copy.deepcopy(head).double()
    expect(case, _scores(case, head, states).dtype == torch.bfloat16, "scores of bfloat16 states are of another dtype")
    expect_close(case, "scores in bfloat16", _scores(case, head, states), _scores(case, wide, states.double()))


@for_all
def check_determinism(case: PseudoHeadCase, data: st.DataObject) -> None:
    """In evaluation mode, asked twice about the same states, it answers the same."""
    states = data.draw(pooled_states())
    head = _built(case, states, data.draw(_sizes))
    expect_same(case, head(states), head(states), "the second answer differs from the first")


@for_all
def check_against_reference(case: PseudoHeadCase, data: st.DataObject) -> None:
    """Scores agree with the case's own reference; left out where it has none."""
    if case.reference is None:
        return
    states = data.draw(pooled_states())
    head = _built(case, states, data.draw(_sizes))
    expect_close(case, "scores", _scores(case, head, states), torch.from_numpy(case.reference(head, states.numpy())))


PSEUDO_HEAD_CHECKS: tuple[Check, ...] = (
    check_scores_shape, check_unit_permutation, check_units_are_independent, check_absorb_standardisation,
    check_state_round_trip, check_gradients, check_extreme_states, check_half_precision,
    check_determinism, check_against_reference,
)
"""All laws of a pseudo head."""


def _built(case: PseudoHeadCase, states: Tensor, size: int, seed: int = 0) -> PseudoHead:
    with seeded(seed):
        return case.make(states.shape[1], size).to(states.dtype).eval()


def _scores(case: PseudoHeadCase, head: PseudoHead, states: Tensor) -> Tensor:
    with repeatable(case):
        scores: Tensor = head(states)
    return scores
