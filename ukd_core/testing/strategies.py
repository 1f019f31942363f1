"""Hypothesis strategies for scores and states, the awkward ones included: extreme, tied, tiny, huge, alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from torch import Tensor

Kind = Literal["ordinary", "extreme", "tied", "tiny", "huge"]
KINDS: tuple[Kind, ...] = ("ordinary", "extreme", "tied", "tiny", "huge")
"""`ordinary`: within ±8. `extreme`: within ±1e4. `tied`: few different values, many equal. `tiny`: within ±1e-6.
`huge`: 1e4 and at most 1 more, so far from zero that differences between them are easily lost."""

_ELEMENTS: dict[Kind, st.SearchStrategy[float]] = {
    "ordinary": st.floats(-8.0, 8.0, allow_subnormal=False),
    "extreme": st.sampled_from([-1e4, 1e4]) | st.floats(-1e4, 1e4, allow_subnormal=False),
    "tied": st.sampled_from([-1.0, 0.0, 3.0]),
    "tiny": st.floats(-1e-6, 1e-6, allow_subnormal=False),
    "huge": st.sampled_from([1e4, 1e4 + 1.0]) | st.floats(1e4, 1e4 + 1.0),
}

fractions: st.SearchStrategy[float | None] = st.sampled_from([None, 0.0, 0.2, 0.5, 0.99])
"""Progress of a phase, None where nobody was told of any."""
temperatures: st.SearchStrategy[float] = st.sampled_from([0.5, 1.0, 2.0, 20.0])
"""What scores are divided by."""


@st.composite
def tensors(draw: st.DrawFn, shape: tuple[int, ...], *, kinds: Sequence[Kind] = KINDS,
            dtype: torch.dtype = torch.float64) -> Tensor:
    """A tensor whose values are all of one kind: half of the time drawn one by one, else from a generator.

    Args:
        draw: Given by Hypothesis.
        shape: Its shape.
        kinds: Which values occur.
        dtype: Values are drawn in float64 and rounded to it.
    """
    kind = draw(st.sampled_from(kinds))
    if draw(st.booleans()):
        # Numbers drawn one by one are often equal or zero, which hides what only different ones show.
        return random_tensor(shape, kind, torch.Generator().manual_seed(draw(st.integers(0, 2**31))), dtype)
    values: NDArray[Any] = draw(arrays(np.float64, shape, elements=_ELEMENTS[kind], fill=st.nothing()))
    return torch.from_numpy(values).to(dtype)


@st.composite
def layer_stacks(draw: st.DrawFn, *, kinds: Sequence[Kind] = KINDS, max_layers: int = 4, max_units: int = 2,
                 max_width: int = 3, min_teachers: int = 1, min_units: int = 1,
                 dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """A student and a teacher stack of one shape but for the number of layers.

    Args:
        draw: Given by Hypothesis.
        kinds: Which values occur.
        max_layers: Most layers of either side; at least one, more student than teacher layers included.
        max_units: Most units; at least one.
        max_width: Greatest D; at least one.
        min_teachers: Least number of teacher layers.
        min_units: Least number of units.
        dtype: Of both stacks; values are drawn in float64 and rounded to it.

    Returns:
        Tensors of shape (S, units, D) and (T, units, D).
    """
    students, teachers = draw(st.integers(1, max_layers)), draw(st.integers(min_teachers, max_layers))
    units, width = draw(st.integers(min_units, max_units)), draw(st.integers(1, max_width))
    stack = draw(tensors((students + teachers, units, width), kinds=kinds, dtype=dtype))
    return stack[:students].clone(), stack[students:].clone()


@st.composite
def score_pairs(draw: st.DrawFn, size: int, *, kinds: Sequence[Kind] = KINDS, max_layers: int = 2, max_units: int = 3,
                min_units: int = 1, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Teacher and student scores of one shape, (layers, units, size), one layer and one unit at least.

    Args:
        draw: Given by Hypothesis.
        size: C.
        kinds: Which values occur.
        max_layers: Most layers.
        max_units: Most units.
        min_units: Least number of units.
        dtype: Of both; values are drawn in float64 and rounded to it.
    """
    layers, units = draw(st.integers(1, max_layers)), draw(st.integers(min_units, max_units))
    both = draw(tensors((2, layers, units, size), kinds=kinds, dtype=dtype))
    return both[0].clone(), both[1].clone()


@st.composite
def pooled_states(draw: st.DrawFn, *, kinds: Sequence[Kind] = KINDS, max_units: int = 4, max_width: int = 5,
                  min_units: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    """Pooled states of one layer, shape (units, width), one unit and one feature at least.

    Args:
        draw: Given by Hypothesis.
        kinds: Which values occur.
        max_units: Most units.
        max_width: Greatest width.
        min_units: Least number of units.
        dtype: Values are drawn in float64 and rounded to it.
    """
    shape = draw(st.integers(min_units, max_units)), draw(st.integers(1, max_width))
    return draw(tensors(shape, kinds=kinds, dtype=dtype))


def random_tensor(shape: tuple[int, ...], kind: Kind, generator: torch.Generator,
                  dtype: torch.dtype = torch.float64) -> Tensor:
    """A tensor with values of one kind, from a generator: much faster than `tensors` where many numbers are needed.

    Args:
        shape: Its shape.
        kind: Which values occur.
        generator: Of the numbers; seed it with a drawn one.
        dtype: Values are drawn in float64 and rounded to it.
    """
    share = torch.rand(shape, generator=generator, dtype=torch.float64)
    if kind == "tied":
        values = torch.tensor([-1.0, 0.0, 3.0], dtype=torch.float64)[(3 * share).long()]
    elif kind == "huge":
        values = 1e4 + share
    else:
        greatest = {"ordinary": 8.0, "extreme": 1e4, "tiny": 1e-6}[kind]
        values = greatest * (2 * share - 1)
        if kind == "extreme":
            values = torch.where(share % 0.1 < 0.05, values.sign() * greatest, values)
    return values.to(dtype)


def orders(length: int) -> st.SearchStrategy[Tensor]:
    """Permutations of 0..length−1, shape (length,), int64."""
    return st.permutations(range(length)).map(torch.tensor)
