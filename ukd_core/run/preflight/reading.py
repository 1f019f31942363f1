"""How long the task's texts are for a model, and how many of them it cuts off."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ukd_core.ragged import Ragged

if TYPE_CHECKING:
    from ukd_core.layer_source import LayerSource
    from ukd_core.run.data import TaskData

SAMPLE = 1000
"""Training texts that lengths are taken from."""
TEXTS_AT_ONCE = 20
MOST_LETTERS = 4_000_000
"""After so many letters the sample is large enough, however few texts they are."""


@dataclass(frozen=True)
class Reading:
    """What one model reads of a sample of the training texts."""

    limit: int
    """Longest input in tokens: the recipe's, or what the model has positions for."""
    mean: float
    """Tokens of a text after it is cut."""
    longest: int
    """Tokens of the longest text of the sample, uncut."""
    cut: float
    """Share of the texts that are longer than `limit`."""
    seconds: float
    """Spent on tokenizing a text."""
    rows: Tensor
    """Row numbers of the sample, shape (texts,), int64."""
    tokens: Ragged
    """What the model reads of them, in the same order: their ids, cut."""

    def typical(self) -> Tensor:
        """Rows of the sample, those first that are nearest to the mean length: shape (texts,), int64."""
        return self.rows[(self.tokens.lengths() - self.mean).abs().argsort(stable=True)]


def read_lengths(source: LayerSource, data: TaskData, max_length: int, sample: int = SAMPLE) -> Reading:
    """Tokenize a random sample of training texts, always the same, without cutting them.

    Args:
        source: The model.
        data: Texts or pairs.
        max_length: Longest input in tokens, as the recipe says.
        sample: Most texts.

    Raises:
        InputError: `max_length` leaves no token for a text.
    """
    source.tokenize([""], [""] if data.pairs else None, max_length=max_length)
    train = data.splits["train"]
    chosen = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:sample]
    limit = min(max_length, source.max_positions or max_length)
    ids: list[list[int]] = []
    letters, seconds = 0, 0.0
    for part in train.select(chosen.tolist()).iter(batch_size=TEXTS_AT_ONCE):
        start = time.perf_counter()  # not around the loop: to fetch texts from here and there is slow, a run reads on
        ids += source.tokenizer(part["text"], part["pair"] if data.pairs else None, truncation=False,
                                verbose=False)["input_ids"]
        seconds += time.perf_counter() - start
        letters += sum(map(len, part["text"]))
        if letters > MOST_LETTERS:
            break
    lengths = torch.tensor([len(row) for row in ids])
    return Reading(limit, float(lengths.clamp(max=limit).float().mean()), int(lengths.max()),
                   float((lengths > limit).float().mean()), seconds / len(ids), chosen[: len(ids)],
                   Ragged.of({"input_ids": [row[:limit] for row in ids]}))
