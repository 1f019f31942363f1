"""Batches of a pass: every row once, within the budget, and results in the order asked for."""

from __future__ import annotations

import gc
import threading
import time

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ukd_core.layer_source import LayerStates
from ukd_core.run.forward import batches_by_length, classify, forward_rows, in_order


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


class Source(torch.nn.Module):
    """Counts how many batches are in it at once; until there were `awaited`, each waits for the others."""

    def __init__(self, awaited: int = 1) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.inside, self.most, self.lock, self.threads = 0, 0, threading.Condition(), set()
        self.awaited = awaited

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.threads.add(torch.get_num_threads())
            self.lock.notify_all()
            self.lock.wait_for(lambda: self.most >= self.awaited, timeout=10)
        time.sleep(0.002)
        with self.lock:
            self.inside -= 1
        assert not torch.is_grad_enabled() and not self.training
        return batch["input_ids"].sum(dim=1) * self.weight


class Rows:
    """Row r holds the token r, 64 times."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def lengths(self) -> torch.Tensor:
        return torch.full((self.count,), 64)

    def batch(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"input_ids": rows.unsqueeze(1).expand(-1, 64)}


class Views(torch.nn.Module):
    """Scores each row by its first token; the scores are a view of a large tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.held: list[int] = []

    def forward(self, batch: dict[str, torch.Tensor]) -> LayerStates:
        self.held.append(psutil.Process().memory_info().rss)
        first = batch["input_ids"][:, :1].float()
        return LayerStates(pooled=(), logits=(first + torch.arange(40_000.0))[:, :3])


def test_scores_are_in_order_and_nothing_else_of_a_batch_is_kept():
    model = Views()
    scores = classify(model, Rows(700))  # 22 batches, 5 MB each
    assert scores.tolist() == [[row, row + 1.0, row + 2.0] for row in range(700)]
    assert len(model.held) > 20
    assert max(model.held) - model.held[0] < 40e6, [round(each / 1e6) for each in model.held]


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize(("available", "streams", "each"), [(1, 1, 1), (2, 2, 1), (4, 4, 1), (9, 4, 2)])
def test_a_cpu_runs_several_batches_at_once_and_gives_them_in_order(threads, available, streams, each):
    threads(available)
    source, rows = Source(streams), Rows(320)
    chosen = torch.arange(320).flip(0)
    found = list(forward_rows(source, rows, chosen))
    assert len(found) == 10 and torch.equal(torch.cat([batch for batch, _ in found]), chosen)
    for batch, states in found:
        assert torch.equal(states, batch * 64.0)
    assert source.most == streams and source.threads == {each}
    assert torch.get_num_threads() == available and source.training


def test_a_pass_that_is_left_early_gives_the_threads_back(threads):
    threads(2)
    source = Source()
    for _ in forward_rows(source, Rows(320), torch.arange(320)):
        break
    gc.collect()
    assert torch.get_num_threads() == 2 and source.training and source.inside == 0


def test_what_goes_wrong_in_a_stream_is_raised(threads):
    threads(2)
    rows = Rows(320)
    rows.batch = lambda batch: {"input_ids": None}
    with pytest.raises(AttributeError, match="has no attribute"):
        list(forward_rows(Source(), rows, torch.arange(320)))
    assert torch.get_num_threads() == 2
