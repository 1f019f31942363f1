"""Rows of different lengths in flat arrays against plain lists."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from ukd_core.ragged import Ragged

ROWS = st.lists(st.lists(st.integers(0, 40_000), max_size=7), min_size=1, max_size=9)


@given(ROWS, st.data())
def test_padding_agrees_with_lists(rows: list[list[int]], data: st.DataObject):
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=6))
    length = max(len(rows[row]) for row in chosen) + data.draw(st.integers(0, 4))
    ragged = Ragged.of({"input_ids": rows, "mask": [[1] * len(row) for row in rows]})
    padded = ragged.padded(torch.tensor(chosen), length, {"input_ids": 9})
    assert padded["input_ids"].tolist() == [rows[row] + [9] * (length - len(rows[row])) for row in chosen]
    assert padded["mask"].tolist() == [[1] * len(rows[row]) + [0] * (length - len(rows[row])) for row in chosen]
    assert padded["input_ids"].dtype == torch.int64
    assert ragged.lengths().tolist() == [len(row) for row in rows]
    assert len(ragged) == len(rows)
