"""Batches of a pass: every row once, within the budget, and results in the order asked for."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from ukd_core.run.forward import batches_by_length, in_order


@given(st.lists(st.integers(0, 300), max_size=200), st.integers(64, 2048))
def test_every_row_once_and_no_batch_over_the_budget(lengths: list[int], budget: int):
    batches = [batch.tolist() for batch in batches_by_length(torch.tensor(lengths, dtype=torch.int64), budget)]
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = -(-max(lengths[row] for row in batch) // 8) * 8
        assert len(batch) == 1 or len(batch) * padded <= budget


def test_like_lengths_share_a_batch():
    lengths = torch.tensor([8, 64, 8, 64] * 16)
    for batch in batches_by_length(lengths, 256):
        assert len(set(lengths[batch].tolist())) == 1


@given(st.permutations(range(12)), st.integers(1, 5))
def test_results_come_back_in_the_order_asked_for(order: list[int], size: int):
    chosen = torch.tensor(order)[:9] * 3
    batches = list(torch.split(chosen[torch.randperm(9)], size))
    parts = [torch.stack([batch * 10, batch], dim=1) for batch in batches]
    assert in_order(chosen, batches, parts).tolist() == [[row * 10.0, float(row)] for row in chosen.tolist()]
