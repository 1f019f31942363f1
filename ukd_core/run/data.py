"""Data: from files, a hub name or the embedded default to splits of texts with encoded labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, overload

import datasets
import numpy as np
import torch
from torch import Tensor

from ukd_core.errors import InputError, Problems, UKDError
from ukd_core.output_space import OutputSpace
from ukd_core.run.fingerprint import hash_texts
from ukd_core.run.labels import (
    Rows,
    choose_names,
    clean_labels,
    encode_split,
    fewer_labels,
    listed,
    of_one_kind,
    sample_rows,
    split_validation,
)
from ukd_core.run.readers import SPLIT_NAMES, read_tables
from ukd_core.run.tables_on_disk import ROWS_AT_ONCE, dataset_of, joined, text_table_of
from ukd_core.spec import nearest

TEXT_COLUMNS = (
    ("sentence1", "sentence2"), ("question1", "question2"), ("premise", "hypothesis"), ("question", "sentence"),
    ("question", "answer"), ("text1", "text2"), ("text", "text_pair"), ("text",), ("sentence",),
    ("content",), ("document",), ("review",), ("question",),
)
"""Columns that are taken as the text or the pair of texts when the user names none: the first entry that is there."""

LABEL_COLUMNS = ("label", "labels", "category", "class", "target")
"""Columns that are taken as the label when the user names none: the first that is there."""

@dataclass(frozen=True)
class RawData:
    """What a source holds, before labels are encoded."""

    splits: Mapping[str, datasets.Dataset]
    """"train" and, where they exist, "validation" and "test"; columns text (str), pair (str, only for pairs) and label
    (string, integer, float or list; None where missing)."""
    label_names: tuple[str, ...] | None
    """The classes that the source declares, in order; its labels are then these names."""
    pairs: bool
    source: str = "data"
    """The source as the user named it, for error texts."""
    seen: Sequence[Any] = ()
    """All training labels before any row or label was sampled away: a sample may lack a class, the task does not."""


class Texts(Sequence[str]):
    """The texts of some columns, one column after the other, read from their table a thousand at a time.

    Args:
        table: Where they are.
        columns: Their names.
    """

    def __init__(self, table: datasets.Dataset, columns: Sequence[str]) -> None:
        self._table = table
        self._columns = tuple(columns)

    def __len__(self) -> int:
        return len(self._table) * len(self._columns)

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(_values(self._table, column) for column in self._columns)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        column, row = divmod(index % len(self), len(self._table))
        return str(self._table[row][self._columns[column]])


@dataclass(frozen=True)
class TaskData:
    """What models are trained on: as `RawData`, with labels as the output space encodes them.

    Texts stay on disk and are read in parts. In memory are, for each row of a large file, 8 bytes of a label (8·C with
    several), and 8 more where rows were left out or split off.
    """

    splits: Mapping[str, datasets.Dataset]
    """Columns text and, for pairs, pair; label, as encoded, where `encoded` lacks the split."""
    space: OutputSpace
    pairs: bool
    encoded: Mapping[str, Tensor] = field(default_factory=dict)
    """Encoded labels of each split, shape (rows,) or (rows, C), int64 or float64."""

    @cached_property
    def hashes(self) -> dict[str, list[str]]:
        """Of each split a hash of its texts and, for pairs, one of the second texts, in order."""
        return {name: [hash_texts(_values(split, column)) for column in self._columns]
                for name, split in self.splits.items()}

    @cached_property
    def label_hashes(self) -> dict[str, str]:
        """Of each split a hash of its encoded labels, in order."""
        return {name: hash_texts(repr(label) for part in torch.split(self._encoded(name), ROWS_AT_ONCE)
                                 for label in part.tolist()) for name in self.splits}

    @property
    def _columns(self) -> tuple[str, ...]:
        return ("text", "pair") if self.pairs else ("text",)

    def texts(self) -> Sequence[str]:
        """All training texts, both sides of pairs."""
        return Texts(self.splits["train"], self._columns)

    def labels(self, split: str) -> Tensor:
        """Encoded labels of a split as one tensor, shape (rows,) or (rows, C); numbers with a fraction as float32."""
        labels = self._encoded(split)
        return labels.float() if labels.is_floating_point() else labels

    def labelled(self, split: str) -> Tensor:
        """Which rows of a split have a label, shape (rows,), bool."""
        return self.space.is_labelled(self.labels(split))

    def only(self, rows: Mapping[str, Tensor]) -> TaskData:
        """Some rows of some splits; `rows` has by split the row numbers, shape (rows,), int64."""
        splits = {name: self.splits[name].select(chosen.tolist()) for name, chosen in rows.items()}
        return TaskData(splits, self.space, self.pairs,
                        {name: self._encoded(name)[chosen] for name, chosen in rows.items()})

    def _encoded(self, split: str) -> Tensor:
        if split in self.encoded:
            return self.encoded[split]
        labels = torch.as_tensor(self.splits[split]["label"][:])
        return labels.double() if labels.is_floating_point() else labels


def read_data(source: str, *, text_columns: Sequence[str] | None = None, label_column: str | None = None,
              max_train_rows: int | None = None, max_eval_rows: int | None = None, max_labels: int | None = None,
              validation_fraction: float = 0.1, seed: int = 0, cache: Path | None = None) -> RawData:
    """Read texts and raw labels; called once a run, before any model is built.

    In this order: rows without labels join the training rows; where there is no validation split, a stratified share of
    the labelled training rows becomes one; then rows, and last training labels, are sampled down. Samples keep the
    order of the source. The test split is never used for anything else.

    Args:
        source: A folder with train.* and, if wanted, validation.*, test.* and unlabelled.* files; one file of training
            rows; a hub name ``org/name`` or ``org/name:config``; or ``embedded:NAME``.
        text_columns: One column, or two for pairs; None to look for the names in `TEXT_COLUMNS`.
        label_column: None to look for the names in `LABEL_COLUMNS`.
        max_train_rows: Keep a random sample of so many training rows, labelled or not.
        max_eval_rows: The same for each of validation and test.
        max_labels: Keep so many training labels, stratified; the other rows stay, unlabelled.
        validation_fraction: Share of the labelled training rows, 0 ≤ fraction < 1; 0 for no validation split.
        seed: Of every sample, at least 0.
        cache: Where downloads and read files are kept; None for `cache_folder` and the `datasets` library's own.

    Raises:
        InputError: anything in the source that is not as described, in one line.
        UnknownNameError: no embedded data set of this name.
    """
    where = f"data '{source}'"
    _check_options(where, text_columns, validation_fraction,
                   {"max_train_rows": max_train_rows, "max_eval_rows": max_eval_rows, "max_labels": max_labels})
    tables = read_tables(source, where, cache)
    for split, table in tables.items():
        if table.num_rows == 0:
            raise InputError(where, f"split '{split}' has no rows", "Remove the file, or put rows into it.")
    texts = _find_texts(tables["train"], text_columns, where)
    label = _find_label(tables, label_column, texts, where)
    parts = {split: _rows(table, split, texts, label, where) for split, table in tables.items()}
    if not any(text.strip() for text in _values(parts["train"].texts, "text")):
        raise InputError(where, f"every text in column {texts[0]!r} is empty", "Name another with --text-columns.")
    seen = [value for value in parts["train"].labels if value is not None]
    unlabelled = parts.pop("unlabelled", None)
    if "validation" not in parts and validation_fraction > 0:
        split_validation(parts, validation_fraction, seed)
    if unlabelled is not None:
        parts["train"] = joined(parts["train"], unlabelled)
    for split in parts:
        parts[split] = sample_rows(parts[split], max_train_rows if split == "train" else max_eval_rows, seed)
    if max_labels is not None:
        parts["train"] = fewer_labels(parts["train"], max_labels, seed)
    splits = {split: dataset_of(part)
              for split, part in sorted(parts.items(), key=lambda item: list(SPLIT_NAMES).index(item[0]))}
    return RawData(splits, _declared_names(tables, label), pairs=len(texts) == 2, source=where, seen=seen)


def encode_data(raw: RawData, space_type: type[OutputSpace], *, label_names: Sequence[str] | None = None,
                teacher_labels: Sequence[str] | None = None, metric: str | None = None) -> TaskData:
    """Agree on the label names (see `choose_names`) and encode every label; called once a run.

    Args:
        raw: As `read_data` gives it.
        space_type: The output space, built here with the names.
        label_names: The user's names, in the order of the teacher's classes.
        teacher_labels: What the teacher was trained to answer; None where it still has to learn the task.
        metric: Takes the place of the space's own.

    Raises:
        InputError: no label at all and no teacher that knows the task; names that contradict each other; a label
            outside of them; training rows of a single class; a metric that the space lacks, or of which less is
            better.
    """
    labels = {split: list(table["label"]) for split, table in raw.splits.items()}
    present = [label for label in labels["train"] if label is not None]
    seen = raw.seen or present or [label for values in labels.values() for label in values if label is not None]
    if not seen and teacher_labels is None:
        raise InputError(raw.source, "no row has a label", "Name the label column, or give a teacher that was trained "
                                                           "on this task: it can label the rows.")
    names = choose_names(seen, space_type, raw.source, user=label_names, teacher=teacher_labels,
                         features=raw.label_names)
    try:
        space = space_type(names)
    except UKDError:
        raise
    except ValueError as error:
        raise InputError(raw.source, f"the label names {listed(names)} do not fit the output space "
                                     f"'{space_type.name}': {str(error).rstrip('.')}") from error
    if metric is not None:
        space.metric = _usable_metric(metric, space)
    problems = Problems()
    encoded = {split: problems.attempt(encode_split, values, space, raw.source, split)
               for split, values in labels.items()}
    problems.tell()
    if space_type.problem_type == "single_label_classification" and len(set(map(str, present))) == 1:
        raise InputError(raw.source, f"expected at least two classes in the training rows, got only {present[0]!r}",
                         "Check the label column, or keep more labels.")
    splits = {split: table.remove_columns("label") for split, table in raw.splits.items()}
    return TaskData(splits, space, raw.pairs, {split: part for split, part in encoded.items() if part is not None})


def _usable_metric(metric: str, space: OutputSpace) -> str:
    answers = space.predictions(torch.zeros(2, space.size)).numpy()
    usable = sorted(set(space.metrics(answers, answers)) - space.errors)
    if metric not in usable:
        raise InputError("option 'metric'", f"expected {', '.join(usable)}, got {metric!r}")
    return metric


def _values(split: datasets.Dataset, column: str) -> Iterator[str]:
    """A column without holding all of it at once."""
    for part in split.select_columns(column).iter(batch_size=ROWS_AT_ONCE):
        yield from part[column]


def _check_options(where: str, text_columns: Sequence[str] | None, fraction: float,
                   limits: Mapping[str, int | None]) -> None:
    if text_columns is not None and len(text_columns) not in (1, 2):
        raise InputError(where, f"expected one text column, or two for pairs, got {len(text_columns)}")
    if not 0 <= fraction < 1:
        raise InputError(where, f"expected 0 ≤ validation_fraction < 1, got {fraction}")
    for name, limit in limits.items():
        if limit is not None and limit < 1:
            raise InputError(where, f"expected {name} of at least 1, got {limit}", "Leave it out to keep everything.")


def _find(name: str, columns: Iterable[str]) -> str | None:
    """The column of this name; letter case counts only where it decides."""
    same = [column for column in columns if column.casefold() == name.casefold()]
    return name if name in same else (same[0] if same else None)


def _need(name: str, table: datasets.Dataset, split: str, where: str) -> str:
    column = _find(name, table.column_names)
    if column is None:
        raise InputError(where, f"split '{split}' has no column {name!r}", nearest(name, table.column_names))
    return column


def _find_texts(train: datasets.Dataset, chosen: Sequence[str] | None, where: str) -> tuple[str, ...]:
    if chosen is not None:
        return tuple(_need(name, train, "train", where) for name in chosen)
    for names in TEXT_COLUMNS:
        columns = tuple(column for name in names if (column := _find(name, train.column_names)))
        if len(columns) == len(names):
            return columns
    raise InputError(where, f"expected a text column (text, sentence, or a pair such as sentence1 and sentence2), got "
                            f"the columns {listed(train.column_names)}", "Name one or two with --text-columns.")


def _find_label(tables: Mapping[str, datasets.Dataset], chosen: str | None, texts: Sequence[str],
                where: str) -> str | None:
    """The label column; a split may lack it. None where no split has one."""
    for name in (chosen,) if chosen is not None else LABEL_COLUMNS:
        for table in tables.values():
            column = _find(name, table.column_names)
            if column in texts:
                raise InputError(where, f"the column {column!r} cannot be both text and label", "Name another column.")
            if column is not None:
                return column
    return _need(chosen, tables["train"], "train", where) if chosen is not None else None


def _rows(table: datasets.Dataset, split: str, texts: Sequence[str], label: str | None, where: str) -> Rows:
    columns = {key: _need(name, table, split, where) for key, name in zip(("text", "pair"), texts, strict=False)}
    found = None if label is None or split == "unlabelled" else _find(label, table.column_names)
    labels = [None] * table.num_rows if found is None else of_one_kind(clean_labels(
        table[found][:], _class_names(table.features[found]), where=where, split=split))
    return Rows(text_table_of(table, columns, split, where), labels, np.arange(table.num_rows))


def _class_names(feature: Any) -> tuple[str, ...] | None:
    """Names of a `ClassLabel`, or of a list of them."""
    feature = getattr(feature, "feature", feature)
    return tuple(feature.names) if isinstance(feature, datasets.ClassLabel) else None


def _declared_names(tables: Mapping[str, datasets.Dataset], label: str | None) -> tuple[str, ...] | None:
    columns = ((table, _find(label, table.column_names)) for table in tables.values() if label is not None)
    declared = (_class_names(table.features[column]) for table, column in columns if column is not None)
    return next((names for names in declared if names is not None), None)
