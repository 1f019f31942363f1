"""Batches of training: which rows, in which order, joined with labels and teacher answers by row number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

if TYPE_CHECKING:
    from ukd_core.run.cache.arrays import StoredArray
    from ukd_core.run.processes import Processes
    from ukd_core.run.rows import TokenizedRows

GROUP = 50
"""Batches whose rows are sorted by length among themselves: enough that little is padded, few enough that batches stay
random."""


class RowDataset(Dataset[dict[str, Any]]):
    """Rows of a split as the student reads them, joined with labels and teacher answers by row number.

    A whole batch is fetched at once, so that nothing happens row by row.

    Args:
        rows: The tokenized split.
        labels: Encoded labels of the split, shape (rows,) or (rows, C).
        scores: Teacher answers of the split, (rows, T + 1, C), or None.
        states: Pooled states of each teacher layer, (rows, width_l) each, where a term asks for them.
        keep: Row numbers that take part; all where None.
        teacher_rows: The same rows as a live teacher reads them, token by token alike; None where it does not run.
    """

    def __init__(self, rows: TokenizedRows, labels: Tensor, scores: StoredArray | None = None,
                 states: Sequence[StoredArray] = (), keep: Tensor | None = None,
                 teacher_rows: TokenizedRows | None = None) -> None:
        self.rows = rows
        self.labels = labels
        self.scores = scores
        self.states = states
        self.teacher_rows = teacher_rows
        self.keep = torch.arange(len(rows)) if keep is None else keep

    def __len__(self) -> int:
        return len(self.keep)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Any]:
        """A batch, padded; called by the data loader."""
        rows = self.keep[torch.as_tensor(indices)]
        batch: dict[str, Any] = self._tokens(rows)
        batch["labels"] = self.labels[rows]
        if self.scores is not None:
            batch["teacher_scores"] = self.scores.rows(rows)
        if self.states:
            batch["teacher_states"] = tuple(layer.rows(rows) for layer in self.states)
        return batch

    def _tokens(self, rows: Tensor) -> dict[str, Any]:
        """What the student reads, and what the teacher reads where it runs, padded to one length."""
        if self.teacher_rows is None:
            return dict(self.rows.batch(rows))
        length = min(self.rows.padded_length(rows), self.teacher_rows.padded_length(rows))
        return {**self.rows.batch(rows, length), "teacher_batch": self.teacher_rows.batch(rows, length)}

    def lengths(self) -> Tensor:
        """Tokens of each row that takes part, shape (len(self),), int64."""
        return self.rows.lengths()[self.keep]


class RowBatches(Sampler[list[int]]):
    """Random batches, drawn anew for every pass from seed and pass alone; each process takes its part of each batch.

    So the batches of a run are the same for one process and for several.

    Args:
        lengths: Tokens of each row, shape (rows,).
        batch_size: Rows of a batch, all processes together.
        seed: Of the order.
        by_length: Put rows of like length into one batch.
        processes: Who takes part.
        labelled: Which rows have a label, shape (rows,), bool; None where `unlabelled_weight` is 1.
        unlabelled_weight: How often a row without a label is drawn, against one with a label; see `weighted_pass`.
        steps: Batches of all passes together; None for no end. A training that goes on from its last step finds no
            batch left then, where the engine would make one more step.
    """

    def __init__(self, lengths: Tensor, batch_size: int, seed: int, *, by_length: bool, processes: Processes,
                 labelled: Tensor | None = None, unlabelled_weight: float = 1.0, steps: int | None = None) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.by_length = by_length
        self.processes = processes
        self.epoch = 0
        self.labelled = None if unlabelled_weight == 1.0 else labelled
        self.unlabelled_weight = unlabelled_weight
        self.steps = steps

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of this pass next; called by the Trainer."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        mixed = np.random.SeedSequence((self.seed, self.epoch)).generate_state(1)[0]
        generator = torch.Generator().manual_seed(int(mixed))
        order = torch.randperm(len(self.lengths), generator=generator)
        if self.labelled is not None:
            order = weighted_pass(self.labelled, self.unlabelled_weight, generator)[order]
        batches = torch.split(order, self.batch_size)
        if self.by_length:
            groups = torch.split(order, self.batch_size * GROUP)
            ordered = [group[torch.argsort(self.lengths[group], stable=True)] for group in groups]
            batches = tuple(batch for group in ordered for batch in torch.split(group, self.batch_size))
            batches = tuple(batches[place] for place in torch.randperm(len(batches), generator=generator).tolist())
        left = len(batches) if self.steps is None else max(0, self.steps - self.epoch * len(batches))
        for batch in batches[:left]:
            # Where there are fewer rows than processes each takes all of them: the mean of their means is the same.
            shared = len(batch) >= self.processes.count
            yield (batch[self.processes.rank:: self.processes.count] if shared else batch).tolist()


def weighted_pass(labelled: Tensor, weight: float, generator: torch.Generator) -> Tensor:
    """The rows of one pass, as many as there are, where rows without a label take part by weight.

    With L labelled rows, U others and weight w the others have round((L + U) · wU / (L + wU)) of the places. Each kind
    goes through all of its rows before one is drawn again. So the mean of any term over the pass is what weights 1 and
    w in a weighted mean of all rows would give, whatever the term does with a batch; to weigh units within a term
    would have to be done by each term anew, means nothing to one that compares units with each other, and spends as
    much of the budget on rows that hardly count.

    Args:
        labelled: Which rows have a label, shape (rows,), bool.
        weight: w ≥ 0.
        generator: Draws which rows come once more.

    Returns:
        Row numbers, shape (rows,), int64, in no particular order.
    """
    known, others = labelled.nonzero().flatten(), (~labelled).nonzero().flatten()
    if not len(known) or not len(others):
        return torch.arange(len(labelled))
    places = round(len(labelled) * weight * len(others) / (len(known) + weight * len(others)))
    return torch.cat([_drawn(known, len(labelled) - places, generator), _drawn(others, places, generator)])


def _drawn(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    whole, rest = divmod(count, len(rows))
    return torch.cat([rows.repeat(whole), rows[torch.randperm(len(rows), generator=generator)[:rest]]])


class RowLoader(DataLoader[dict[str, Any]]):
    """A data loader over whole batches, which passes the number of the pass on.

    Args:
        dataset: The rows.
        batches: Which of them, in which order.
        pin_memory: For a GPU.
    """

    def __init__(self, dataset: RowDataset, batches: RowBatches, *, pin_memory: bool) -> None:
        super().__init__(dataset, batch_sampler=batches, collate_fn=as_it_is, pin_memory=pin_memory)
        self.batches = batches

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before every pass."""
        self.batches.set_epoch(epoch)


def as_it_is(batch: Any) -> Any:
    """The collator: `RowDataset` gives whole batches."""
    return batch
