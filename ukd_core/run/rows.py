"""Tokenized rows: what a model reads, made once for each text and tokenizer and kept on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

import numpy as np
import torch
from torch import Tensor

from ukd_core.errors import InputError
from ukd_core.formats import TOKENS
from ukd_core.ragged import Ragged, starts_of
from ukd_core.run.files import whole_folder
from ukd_core.run.fingerprint import fingerprint, tokenizer_facts
from ukd_core.run.leftovers import sweep

if TYPE_CHECKING:
    import datasets

    from ukd_core.layer_source import LayerSource
    from ukd_core.run.data import TaskData

TEXTS_A_TURN = 1000
"""Texts that a tokenizer is given at once."""
SMALL_COLUMNS = frozenset({"attention_mask", "token_type_ids"})
"""Columns whose values fit into a byte."""
LENGTHS = "lengths"
"""File of the tokens of each row, int32."""
COLUMNS = "columns"
"""File of the names of the columns, each of which is a file."""


@dataclass(frozen=True, slots=True)
class TokenizedRows:
    """Rows of a split as one model reads them."""

    ragged: Ragged
    """The columns of the model's tokenizer."""
    source: LayerSource
    """The model, which says how rows are padded."""
    number: Tensor | None = None
    """What the model calls each id of the tokenizer while its vocabulary is trimmed, shape (ids,), int32."""

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
        made = self.ragged.padded(rows, length or self.padded_length(rows), self.source.padding())
        if self.number is not None:
            made["input_ids"] = self.number[made["input_ids"]].long()
        return made


def tokenize_data(source: LayerSource, data: TaskData, max_length: int, cache: Path) -> dict[str, TokenizedRows]:
    """Every split as `source` reads it; kept in `cache`, so that another run with this tokenizer reads it.

    Tokens are written as they are made and mapped into memory when read: of a file of any size there are only 8 bytes
    a row in memory, where each row begins.

    Args:
        source: The model.
        data: Texts or pairs.
        max_length: Longest row in tokens.
        cache: The cache folder.
    """
    facts = TOKENS.mark({"adapter": source.name, "max_length": max_length, "limit": source.max_positions,
                         "tokenizer": tokenizer_facts(source)})
    return {name: TokenizedRows(_kept(source, split, max_length, cache, {**facts, "texts": data.hashes[name]}), source)
            for name, split in data.splits.items()}


def _kept(source: LayerSource, split: datasets.Dataset, max_length: int, cache: Path, facts: Mapping[str, object]
          ) -> Ragged:
    entry = cache / "tokens" / fingerprint(dict(facts))
    if entry.is_dir():
        sweep(entry)  # what another one was killed over
    else:
        with whole_folder(entry) as folder:
            _write(source, split, max_length, folder)
    starts = starts_of(torch.from_numpy(np.fromfile(entry / LENGTHS, dtype=np.int32)).long())
    columns = {path.stem: _mapped(path) for path in sorted(entry.glob("*.tokens"))}
    expected = (entry / COLUMNS).read_text(encoding="utf-8").split("\n")
    if len(starts) != len(split) + 1 or any(
            name not in columns or len(columns[name]) != starts[-1] for name in expected):
        raise InputError(f"cache entry '{entry}'", "expected the tokens of every row, got files that are cut or "
                         "missing", f"Remove it: ukd cache remove {entry.name}")
    return Ragged(columns, starts)


def _write(source: LayerSource, split: datasets.Dataset, max_length: int, folder: Path) -> None:
    """A file for each column of the tokenizer, row after row, and one for the lengths of the rows."""
    with ExitStack() as files:
        lengths = files.enter_context((folder / LENGTHS).open("wb"))
        columns: dict[str, BinaryIO] = {}
        for texts in split.iter(batch_size=TEXTS_A_TURN):
            made = source.tokenize(texts["text"], texts.get("pair"), max_length=max_length)
            for name, rows in made.items():
                if name not in columns:
                    columns[name] = files.enter_context((folder / f"{name}.tokens").open("wb"))
                kind = np.int8 if name in SMALL_COLUMNS else np.int32
                # Not `tofile`, which does not notice that a disk is full when the last of it is written.
                columns[name].write(np.fromiter(chain.from_iterable(rows), dtype=kind).tobytes())
            lengths.write(np.array([len(row) for row in next(iter(made.values()))], dtype=np.int32).tobytes())
    (folder / COLUMNS).write_text("\n".join(columns), encoding="utf-8")


def _mapped(path: Path) -> Tensor:
    """The values of a file, read when they are looked at: shape (values,), int8 or int32."""
    kind = np.dtype(np.int8 if path.stem in SMALL_COLUMNS else np.int32)
    if path.stat().st_size == 0:
        return torch.zeros(0, dtype=torch.int32)
    # Copied on write, which nobody does: PyTorch warns of arrays that cannot be written.
    return torch.from_numpy(np.memmap(path, dtype=kind, mode="c").view(np.ndarray))
