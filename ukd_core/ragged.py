"""Rows of different lengths in flat arrays, and their padded batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Ragged:
    """Columns of integers whose rows differ in length; a row has the same length in every column."""

    columns: Mapping[str, Tensor]
    """The rows of each column one after another, shape (sum of lengths,), any integer type."""
    starts: Tensor
    """Where each row begins, and where the last one ends: shape (rows + 1,), int64."""

    @classmethod
    def of(cls, columns: Mapping[str, Sequence[Sequence[int]]]) -> Self:
        """Join lists; every column has the same rows."""
        first = next(iter(columns.values()))
        joined = {key: torch.tensor([value for row in rows for value in row], dtype=torch.int32)
                  for key, rows in columns.items()}
        return cls(joined, starts_of(torch.tensor([len(row) for row in first], dtype=torch.int64)))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def lengths(self) -> Tensor:
        """Values of each row, shape (rows,), int64."""
        return self.starts[1:] - self.starts[:-1]

    def padded(self, rows: Tensor, length: int, fill: Mapping[str, int]) -> dict[str, Tensor]:
        """Some rows side by side, filled up on the right.

        Args:
            rows: Row numbers, shape (units,), int64.
            length: At least that of the longest of them.
            fill: What stands behind a row, by column; 0 where a column is not named.

        Returns:
            By column, shape (units, length), int64.
        """
        places = self.starts[rows].unsqueeze(1) + torch.arange(length)
        inside = places < self.starts[rows + 1].unsqueeze(1)
        places = torch.where(inside, places, 0)
        return {key: torch.where(inside, values[places].long() if len(values) else 0, fill.get(key, 0))
                for key, values in self.columns.items()}


def starts_of(lengths: Tensor) -> Tensor:
    """Where rows of these lengths begin, and where the last one ends: shape (rows + 1,), int64."""
    starts = torch.zeros(len(lengths) + 1, dtype=torch.int64)
    torch.cumsum(lengths, 0, out=starts[1:])
    return starts
