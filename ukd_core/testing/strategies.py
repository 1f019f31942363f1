"""Hypothesis strategies for stacks of layer scores, the awkward ones included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from torch import Tensor

Kind = Literal["ordinary", "extreme", "tied", "tiny"]
KINDS: tuple[Kind, ...] = ("ordinary", "extreme", "tied", "tiny")
"""`ordinary`: within ±8. `extreme`: within ±1e4. `tied`: few different values, many equal. `tiny`: within ±1e-6."""

_ELEMENTS: dict[Kind, st.SearchStrategy[float]] = {
    "ordinary": st.floats(-8.0, 8.0, allow_subnormal=False),
    "extreme": st.sampled_from([-1e4, 1e4]) | st.floats(-1e4, 1e4, allow_subnormal=False),
    "tied": st.sampled_from([-1.0, 0.0, 3.0]),
    "tiny": st.floats(-1e-6, 1e-6, allow_subnormal=False),
}

fractions: st.SearchStrategy[float | None] = st.sampled_from([None, 0.0, 0.2, 0.5, 0.99])
"""Progress of a phase, None where a projector was never told of any."""


@st.composite
def layer_stacks(draw: st.DrawFn, *, kinds: Sequence[Kind] = KINDS, max_layers: int = 4, max_units: int = 2,
                 max_width: int = 3, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """A student and a teacher stack of one shape but for the number of layers.

    Args:
        draw: Given by Hypothesis.
        kinds: Which values occur.
        max_layers: Most layers of either side; at least one, more student than teacher layers included.
        max_units: Most units; at least one.
        max_width: Greatest D; at least one.
        dtype: Of both stacks; values are drawn in float64 and rounded to it.

    Returns:
        Tensors of shape (S, units, D) and (T, units, D).
    """
    count = st.integers(1, max_layers)
    students, teachers = draw(count), draw(count)
    units, width = draw(st.integers(1, max_units)), draw(st.integers(1, max_width))
    elements = _ELEMENTS[draw(st.sampled_from(kinds))]
    shape = (students + teachers, units, width)
    values: NDArray[Any] = draw(arrays(np.float64, shape, elements=elements, fill=st.nothing()))
    stack = torch.from_numpy(values).to(dtype)
    return stack[:students].clone(), stack[students:].clone()


def orders(length: int) -> st.SearchStrategy[Tensor]:
    """Permutations of 0..length−1, int64."""
    return st.permutations(range(length)).map(torch.tensor)
