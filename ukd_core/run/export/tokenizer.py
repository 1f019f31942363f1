"""A source's tokenizer as one file, and what reads with it: the same ids as the source gives, without transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import Tokenizer

from ukd_core.errors import InputError
from ukd_core.layer_source import kept_of_pair

if TYPE_CHECKING:
    from tokenizers import Encoding

    from ukd_core.layer_source import LayerSource

COLUMNS: Mapping[str, str] = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
"""Input of a model -> attribute of an `Encoding`."""


def standalone_tokenizer(source: LayerSource, max_length: int) -> Tokenizer:
    """The tokenizer of a source with its cutting and padding, as `tokenizers` alone reads it.

    Args:
        source: Whose tokenizer is taken; it is left as it is.
        max_length: Longest result in tokens, special tokens included.

    Raises:
        InputError: it is not made of `tokenizers`.
    """
    own = source.tokenizer
    if not own.is_fast:
        raise InputError(f"tokenizer of adapter '{source.name}'", f"expected a fast one, got {type(own).__name__}",
                         "Save the model with a tokenizer.json.")
    made = Tokenizer.from_str(own.backend_tokenizer.to_str())
    limit = min(max_length, source.max_positions or max_length)
    made.enable_truncation(limit, strategy="longest_first", direction=own.truncation_side)
    behind = source.padding()
    made.enable_padding(direction="right", pad_id=behind["input_ids"], pad_type_id=behind.get("token_type_ids", 0),
                        pad_token=own.pad_token or "")
    return made


class Reader:
    """Texts to the inputs of an exported model.

    Args:
        tokenizer: As `standalone_tokenizer` made it.
        inputs: Names of the model's inputs, keys of `COLUMNS`.
    """

    def __init__(self, tokenizer: Tokenizer, inputs: Sequence[str]) -> None:
        cut, behind = tokenizer.truncation or {}, tokenizer.padding or {}
        self.limit, self.side = int(cut["max_length"]), str(cut["direction"])
        self.fill = {"input_ids": behind["pad_id"], "token_type_ids": behind["pad_type_id"]}
        self.inputs = tuple(inputs)
        # Texts are read whole and cut here: of two long texts the library would pair every piece with every piece, and
        # it is faster so.
        self.tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    def read(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Tokenize, cut, pad.

        Args:
            texts: One text a row, at least one.
            pairs: The second text of each row.

        Returns:
            By input, shape (rows, longest row), int64.
        """
        rows = self.tokenizer.encode_batch_fast(list(texts) if pairs is None else list(zip(texts, pairs, strict=True)))
        sizes = [len(row) for row in rows]
        places = {} if max(sizes) <= self.limit else {
            index: self._kept(row) for index, row in enumerate(rows) if sizes[index] > self.limit}
        lengths = np.minimum(sizes, self.limit)
        inside = np.arange(max(1, lengths.max())) < lengths[:, None]
        columns = {}
        for name in self.inputs:
            if name == "attention_mask":
                columns[name] = inside.astype(np.int64)
                continue
            values: list[int] = []
            for index, row in enumerate(rows):
                own = getattr(row, COLUMNS[name])
                values += [own[place] for place in places[index]] if index in places else own
            columns[name] = np.full(inside.shape, self.fill[name], np.int64)
            columns[name][inside] = values
        return columns

    def _kept(self, row: Encoding) -> list[int]:
        return kept_of_pair(row.sequence_ids, self.limit, self.side)
