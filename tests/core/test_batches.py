"""The order of training rows: every row once a pass, the same for any number of processes, another one each pass."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ukd_core import BuildContext
from ukd_core.plugins import Registry
from ukd_core.run.batches import RowBatches, RowDataset, weighted_pass
from ukd_core.run.rows import TokenizedRows


@dataclass(frozen=True)
class Part:
    rank: int = 0
    count: int = 1


def drawn(lengths: list[int], size: int, seed: int, epoch: int, by_length: bool, part: Part) -> list[list[int]]:
    batches = RowBatches(torch.tensor(lengths), size, seed, by_length=by_length, processes=part)  # type: ignore[arg-type]
    batches.set_epoch(epoch)
    made = list(batches)
    assert len(made) == len(batches)
    return made


@given(st.lists(st.integers(1, 90), min_size=1, max_size=150), st.integers(1, 40), st.integers(0, 9), st.booleans())
def test_every_row_once_a_pass(lengths: list[int], size: int, seed: int, by_length: bool):
    for epoch in (0, 1):
        batches = drawn(lengths, size, seed, epoch, by_length, Part())
        assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
        assert sorted(map(len, batches))[1:] == [size] * (len(batches) - 1)


@given(st.integers(2, 4), st.integers(1, 70), st.integers(4, 9), st.booleans())
def test_processes_share_the_batches_of_one_process(count: int, rows: int, size: int, by_length: bool):
    lengths = [row % 13 + 1 for row in range(rows)]
    alone = drawn(lengths, size, 3, 1, by_length, Part())
    parts = [drawn(lengths, size, 3, 1, by_length, Part(rank, count)) for rank in range(count)]
    for whole, *shares in zip(alone, *parts, strict=True):
        if len(whole) >= count:
            assert sorted(row for share in shares for row in share) == sorted(whole)
        else:
            assert all(share == whole for share in shares)


def test_passes_and_seeds_differ_and_repeat():
    lengths = list(range(1, 101))
    assert drawn(lengths, 8, 0, 0, True, Part()) == drawn(lengths, 8, 0, 0, True, Part())
    assert drawn(lengths, 8, 0, 0, True, Part()) != drawn(lengths, 8, 0, 1, True, Part())
    assert drawn(lengths, 8, 0, 0, True, Part()) != drawn(lengths, 8, 1, 0, True, Part())


def test_like_lengths_share_a_batch():
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 100, (400,), generator=generator).tolist()
    spread = [max(lengths[row] for row in batch) - min(lengths[row] for row in batch)
              for batch in drawn(lengths, 8, 0, 0, True, Part())]
    assert max(spread) < 20


def test_a_batch_has_the_labels_of_its_rows(registry: Registry):
    kind, space = registry.layer_sources.lookup("cnn"), registry.output_spaces.lookup("classes")(["a", "b", "c"])
    texts = ["oil", "oil prices", "wheat", "a good wheat harvest"]
    source = kind.build(kind.Options(layers=1, hidden=8), BuildContext(space, texts, None, 16, 0))
    rows = TokenizedRows.of(source, texts, None, 16)
    data = RowDataset(rows, torch.tensor([0, 1, 2, 0]), keep=torch.tensor([3, 1]))
    assert (len(data), data.lengths().tolist()) == (2, rows.lengths()[[3, 1]].tolist())
    batch = data.__getitems__([0, 1])
    assert batch["labels"].tolist() == [0, 1]
    assert batch.keys() == {"labels", *rows.ragged.columns}
    for place, row in enumerate((3, 1)):
        one, alone = data[place], rows.batch(torch.tensor([row]))
        assert one["labels"].tolist() == batch["labels"][[place]].tolist()
        for name, column in alone.items():
            assert torch.equal(one[name], column)
            assert torch.equal(batch[name][place, : column.shape[1]], column[0])


@pytest.mark.parametrize(("labelled", "others", "weight", "places"), [
    (10, 90, 1.0, 90),
    (10, 90, 0.5, 82),  # 100 · 45 / (10 + 45) = 81.8
    (10, 90, 0.1, 47),  # 100 · 9 / 19 = 47.4
    (10, 90, 0.0, 0),
    (60, 40, 3.0, 67),  # 100 · 120 / 180 = 66.7
    (100, 0, 0.5, 0),
    (0, 100, 0.5, 100),
])
def test_rows_without_a_label_are_drawn_by_weight(labelled: int, others: int, weight: float, places: int):
    known = torch.randperm(labelled + others) < labelled
    rows = weighted_pass(known, weight, torch.Generator().manual_seed(0))
    assert len(rows) == labelled + others
    counts = torch.bincount(rows, minlength=labelled + others)
    assert int(counts[~known].sum()) == places
    for kind in (counts[known], counts[~known]):  # each row of a kind is drawn as often as the others, or once more
        assert not len(kind) or int(kind.max() - kind.min()) <= 1


def test_a_weighted_pass_is_a_weighted_mean():
    """Over many passes the mean loss is that of weights 1 and w over all rows."""
    known, weight = torch.arange(40) < 8, 0.25
    losses = torch.rand(40, dtype=torch.float64)
    weights = torch.where(known, 1.0, weight).double()
    expected = (weights * losses).sum() / weights.sum()
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([losses[weighted_pass(known, weight, generator)].mean() for _ in range(2000)]).mean()
    assert drawn.item() == pytest.approx(expected.item(), rel=0.01)


def test_batches_follow_the_weight_and_begin_again_alike():
    known = torch.arange(100) < 10
    made = [RowBatches(torch.full((100,), 5), 8, 3, by_length=by_length, processes=Part(), labelled=known,
                       unlabelled_weight=0.1) for by_length in (True, True, False)]
    passes = [list(batches) for batches in made]
    assert passes[0] == passes[1] != passes[2]
    for batches in passes:
        assert len(batches) == 13 == len(made[0])
        assert sum(row >= 10 for batch in batches for row in batch) == 47
    made[0].set_epoch(1)
    assert list(made[0]) != passes[0]
