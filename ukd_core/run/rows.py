"""Tokenized rows: what a model reads, made once for each text and tokenizer and kept on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import datasets
import torch
from torch import Tensor

from ukd_core.ragged import Ragged, starts_of
from ukd_core.run.files import whole_folder
from ukd_core.run.fingerprint import fingerprint, tokenizer_facts
from ukd_core.silence import quiet

if TYPE_CHECKING:
    from ukd_core.layer_source import LayerSource
    from ukd_core.run.data import TaskData

TEXTS_A_TURN = 1000
"""Texts that a tokenizer is given at once."""
SMALL_COLUMNS = frozenset({"attention_mask", "token_type_ids"})
"""Columns whose values fit into a byte."""


@dataclass(frozen=True, slots=True)
class TokenizedRows:
    """Rows of a split as one model reads them."""

    ragged: Ragged
    """The columns of the model's tokenizer."""
    source: LayerSource
    """The model, which says how rows are padded."""

    @classmethod
    def of(cls, source: LayerSource, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int) -> Self:
        """Tokenize texts (or pairs) in memory."""
        return cls(Ragged.of(source.tokenize(texts, pairs, max_length=max_length)), source)

    def __len__(self) -> int:
        return len(self.ragged)

    def lengths(self) -> Tensor:
        """Tokens of each row, shape (rows,), int64."""
        return self.ragged.lengths()

    def padded_length(self, rows: Tensor) -> int:
        """Length of a batch of these rows; `rows` has the shape (units,), int64."""
        starts = self.ragged.starts
        return self.source.padded_length(int((starts[rows + 1] - starts[rows]).max()))

    def batch(self, rows: Tensor, length: int | None = None) -> dict[str, Tensor]:
        """Some rows, padded: tensors of shape (units, length), int64, on the CPU.

        Args:
            rows: Row numbers, shape (units,), int64.
            length: At least that of the longest of them; None: `padded_length`.
        """
        return self.ragged.padded(rows, length or self.padded_length(rows), self.source.padding())


def tokenize_data(source: LayerSource, data: TaskData, max_length: int, cache: Path) -> dict[str, TokenizedRows]:
    """Every split as `source` reads it; kept in `cache`, so that another run with this tokenizer reads it.

    Args:
        source: The model.
        data: Texts or pairs.
        max_length: Longest row in tokens.
        cache: The cache folder.
    """
    facts = {"format": 1, "adapter": source.name, "max_length": max_length, "limit": source.max_positions,
             "tokenizer": tokenizer_facts(source)}
    return {name: TokenizedRows(_kept(source, split, max_length, cache, {**facts, "texts": data.hashes[name]}), source)
            for name, split in data.splits.items()}


def _kept(source: LayerSource, split: datasets.Dataset, max_length: int, cache: Path, facts: Mapping[str, object]
          ) -> Ragged:
    entry = cache / "tokens" / fingerprint(dict(facts))
    if not entry.is_dir():
        with whole_folder(entry) as folder, quiet():
            _tokenized(source, split, max_length).save_to_disk(folder)
    with quiet():
        return _flat(datasets.load_from_disk(entry))


def _tokenized(source: LayerSource, split: datasets.Dataset, max_length: int) -> datasets.Dataset:
    def tokenize(batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        return source.tokenize(batch["text"], batch.get("pair"), max_length=max_length)

    columns = [column for column in ("text", "pair") if column in split.column_names]
    names = source.tokenize([""], [""] if "pair" in columns else None, max_length=max_length)
    features = datasets.Features({
        name: datasets.List(datasets.Value("int8" if name in SMALL_COLUMNS else "int32")) for name in names})
    return split.select_columns(columns).map(
        tokenize, batched=True, batch_size=TEXTS_A_TURN, remove_columns=columns, features=features,
        new_fingerprint="tokens", load_from_cache_file=False)


def _flat(table: datasets.Dataset) -> Ragged:
    """The flat arrays behind an Arrow table of lists."""
    arrow = table.data.table.combine_chunks()
    columns, lengths = {}, None
    for name in arrow.column_names:
        lists = arrow[name].combine_chunks()
        columns[name] = torch.from_numpy(lists.flatten().to_numpy(zero_copy_only=False, writable=True))
        lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
    return Ragged(columns, starts_of(torch.tensor(lengths, dtype=torch.int64)))
