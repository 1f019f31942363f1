"""Batches of a pass: every row once, within the budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ukd_core.run.forward import TokenizedRows, batches_by_length


@given(st.lists(st.integers(1, 300), max_size=200), st.integers(64, 2048))
def test_every_row_once_and_no_batch_over_the_budget(lengths: list[int], budget: int):
    batches = batches_by_length(lengths, budget)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = -(-max(lengths[row] for row in batch) // 8) * 8
        assert len(batch) == 1 or len(batch) * padded <= budget


def test_like_lengths_share_a_batch():
    lengths = [8, 64, 8, 64] * 16
    for batch in batches_by_length(lengths, 256):
        assert len({lengths[row] for row in batch}) == 1


def test_take_keeps_the_order_asked_for():
    rows = TokenizedRows({"input_ids": [[1], [2, 2], [3, 3, 3]]})
    assert rows.take([2, 0]) == {"input_ids": [[3, 3, 3], [1]]}
    assert rows.lengths() == [1, 2, 3]
    with pytest.raises(IndexError):
        rows.take([3])
