"""How long the task's texts are for a model, and how many of them it cuts off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from ukd_core.layer_source import LayerSource
    from ukd_core.run.data import TaskData

SAMPLE = 1000
"""Training texts that lengths are taken from."""


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
    rows = train.select(chosen.sort().values.tolist())
    ids = source.tokenizer(rows["text"][:], rows["pair"][:] if data.pairs else None, truncation=False,
                           verbose=False)["input_ids"]
    lengths = torch.tensor([len(row) for row in ids])
    limit = min(max_length, source.max_positions or max_length)
    return Reading(limit, float(lengths.clamp(max=limit).float().mean()), int(lengths.max()),
                   float((lengths > limit).float().mean()))
