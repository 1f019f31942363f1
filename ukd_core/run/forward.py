"""One pass of a model over tokenized rows, in batches of like length, with the order kept by row number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    import datasets

    from ukd_core.layer_source import LayerSource, LayerStates

TOKEN_BUDGET = 2048
"""Tokens in a batch of a pass, padding included: large enough to fill two cores, small enough for any memory."""


@dataclass(frozen=True, slots=True)
class TokenizedRows:
    """Rows of a split as one model reads them; `columns` are those of its tokenizer."""

    columns: dict[str, list[list[int]]]

    def __len__(self) -> int:
        return len(self.columns["input_ids"])

    def lengths(self) -> list[int]:
        """Tokens of each row."""
        return [len(ids) for ids in self.columns["input_ids"]]

    def take(self, rows: Sequence[int]) -> dict[str, list[list[int]]]:
        """Some rows, in the order asked for."""
        return {key: [values[row] for row in rows] for key, values in self.columns.items()}


def tokenize_split(source: LayerSource, split: datasets.Dataset, max_length: int) -> TokenizedRows:
    """Tokenize the texts (or pairs) of a split once, with the model's own tokenizer."""
    pairs = split["pair"][:] if "pair" in split.column_names else None
    return TokenizedRows(source.tokenize(split["text"][:], pairs, max_length=max_length))


def batches_by_length(lengths: Sequence[int], token_budget: int = TOKEN_BUDGET) -> list[list[int]]:
    """Row numbers in batches, longest rows first, each batch within the budget after padding."""
    batches: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        padded = -(-max(lengths[batches[-1][0]] if batches else 1, 1) // 8) * 8
        if batches and (len(batches[-1]) + 1) * padded <= token_budget:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def forward_rows(source: LayerSource, rows: TokenizedRows, *, bf16: bool = False,
                 on_batch: Callable[[int], None] | None = None) -> Iterator[tuple[list[int], LayerStates]]:
    """Run the model over all rows in evaluation mode, without gradients; yields row numbers with their states.

    Args:
        source: On the device it is to run on; its training mode is restored.
        rows: From `tokenize_split`.
        bf16: Run under bfloat16 autocast.
        on_batch: Called with the number of rows done after each batch.
    """
    device = next(source.parameters()).device
    training = source.training
    source.eval()
    try:
        for batch in batches_by_length(rows.lengths()):
            inputs = {key: value.to(device, non_blocking=True) for key, value in source.pad(rows.take(batch)).items()}
            with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                states = source(inputs)
            yield batch, states
            if on_batch:
                on_batch(len(batch))
    finally:
        source.train(training)


def classify(source: LayerSource, rows: TokenizedRows, size: int, *, bf16: bool = False) -> Tensor:
    """The model's own scores of all rows, in order: shape (rows, size), float32, on the CPU."""
    logits = torch.zeros(len(rows), size)
    for batch, states in forward_rows(source, rows, bf16=bf16):
        logits[batch] = states.logits.float().cpu()
    return logits
