"""Columns of texts that stay where the `datasets` library put them: a file as large as you like costs no memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from datasets.table import InMemoryTable

from ukd_core.errors import InputError
from ukd_core.run.labels import Rows

ROWS_AT_ONCE = 1000
"""Rows of a table that are in memory as Python objects at a time."""


def text_table_of(table: datasets.Dataset, columns: Mapping[str, str], split: str, where: str) -> datasets.Dataset:
    """The texts of a table under our names; what is not text becomes text, what is missing an empty one.

    Columns of strings without a missing one are the file's own, mapped into memory by the operating system; only
    others are copied.

    Args:
        table: As a reader of the `datasets` library gives it.
        columns: From our name to that of the table.
        split: For messages.
        where: The data, as the user named it, for messages.

    Raises:
        InputError: a column of lists or objects.
    """
    made = {key: pa.chunked_array(list(_texts(table, name, split, where))) for key, name in columns.items()}
    return _dataset(pa.table(made))


def joined(first: Rows, second: Rows) -> Rows:
    """Rows of one split, then those of another; no text is copied."""
    tables = [rows.texts.data.table for rows in (first, second)]
    chosen = np.concatenate([first.chosen, second.chosen + len(first.labels)])
    return Rows(_dataset(pa.concat_tables(tables, promote_options="permissive")), first.labels + second.labels, chosen)


def dataset_of(rows: Rows) -> datasets.Dataset:
    """The chosen rows with their raw labels, as a table of the `datasets` library: columns text, pair, label."""
    whole = rows.texts.add_column("label", rows.labels)
    return whole if len(rows) == len(rows.labels) else whole.select(rows.chosen)


def _dataset(table: pa.Table) -> datasets.Dataset:
    # The fingerprint is given, because to make one all of the table would be read; nothing is kept under it.
    return datasets.Dataset(InMemoryTable(table), fingerprint="texts")


def _texts(table: datasets.Dataset, name: str, split: str, where: str) -> Iterator[pa.Array]:
    if type(table.features[name]).__name__ == "Json":  # values of several kinds, of which the file on disk has the JSON
        yield _as_texts(table[name][:], name, 0, split, where)
        return
    done = 0
    for chunk in table.data.table[name].chunks:
        if pa.types.is_string(chunk.type) or pa.types.is_large_string(chunk.type):
            yield chunk.fill_null("") if chunk.null_count else chunk
        else:
            for start in range(0, len(chunk), ROWS_AT_ONCE):
                yield _as_texts(chunk.slice(start, ROWS_AT_ONCE).to_pylist(), name, done + start, split, where)
        done += len(chunk)


def _as_texts(values: Sequence[Any], column: str, first: int, split: str, where: str) -> pa.Array:
    return pa.array([_as_text(value, column, first + place, split, where) for place, value in enumerate(values)],
                    pa.string())


def _as_text(value: Any, column: str, row: int, split: str, where: str) -> str:
    if isinstance(value, str):
        return value
    with suppress(UnicodeDecodeError):
        if isinstance(value, bytes):
            return value.decode("utf-8")
    if isinstance(value, (list, dict, bytes)):
        kind = "bytes that are no UTF-8" if isinstance(value, bytes) else f"a {type(value).__name__}"
        raise InputError(where, f"expected text in column {column!r}, got {kind} in row {row} of split '{split}'",
                         "Name a column of texts with --text-columns.")
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)
