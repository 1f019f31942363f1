"""Labels: reading them from a column, agreeing on their names, and sampling rows by them."""

from __future__ import annotations

import difflib
import heapq
import logging
import math
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ukd_core.errors import InputError
from ukd_core.output_space import OutputSpace

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rows:
    """A split while it is read: which rows of a table it has, in order, and their raw labels."""

    texts: datasets.Dataset
    """Columns text and, for pairs, pair; on disk where the file was large."""
    labels: list[Any]
    """The label of every row of the table, chosen or not; None where it has none."""
    chosen: npt.NDArray[np.int64]
    """Numbers of the rows, ascending."""

    def __len__(self) -> int:
        return len(self.chosen)

    def take(self, places: Sequence[int] | npt.NDArray[np.int64]) -> Rows:
        """Some of the rows, by their place among the chosen ones."""
        return replace(self, chosen=self.chosen[np.asarray(places, dtype=np.int64)])

    def labels_of_rows(self) -> list[Any]:
        """The labels of the chosen rows, in order."""
        return [self.labels[row] for row in self.chosen]


_POSITIONAL = re.compile(r"LABEL_\d+")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_LONG_INTEGER = re.compile(r"-?[0-9]{19,}")
"""More digits than a number of 64 bits is sure to have: a name, not a number."""
_NUMBER = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")


def clean_labels(values: Iterable[Any], names: Sequence[str] | None = None, *, where: str = "data",
                 split: str = "train") -> list[Any]:
    """Raw labels of one split as they go into `RawData`: a string, an int, a float or a list; None where missing.

    Missing are None, NaN, the empty string, -1 in a column of integers, and -1.0 where every label is -1.0 (GLUE hides
    test labels in these two ways). A column of numbers written as text becomes numbers, one of whole floats becomes
    integers, a truth value becomes "True" or "False".

    Args:
        values: The label column.
        names: Names of a `ClassLabel` column; its integers become names.
        where: The data, as the user named it, for a warning where -1 may have been meant as a class.
        split: The split, likewise.

    Raises:
        InputError: a label is an object, a list in a list or no text; or some are lists and others are not.
    """
    try:
        labels = _as_numbers(of_one_kind([_plain(value) for value in values]))
    except ValueError as error:
        raise InputError(where, f"split '{split}' has a label that is not usable: {error}",
                         "Name another label column.") from error
    present = [label for label in labels if label is not None]
    if all(isinstance(label, int) for label in present) or set(map(str, present)) == {"-1.0"}:
        labels = [None if label == -1 else label for label in labels]
        hidden = sum(label == -1 for label in present)
        if names is None and 0 < hidden < len(present):
            logger.warning("%s: %d rows of split '%s' have the label -1 and count as unlabelled; if -1 is a class, "
                           "name it with a word", where, hidden, split)
    elif all(isinstance(label, float) and label.is_integer() and abs(label) < 2**53 for label in present):
        labels = [None if label is None else int(label) for label in labels]
    return labels if names is None else [_named(label, names) for label in labels]


def _plain(value: Any) -> Any:
    """A string, a whole number of 64 bits, a float or a list of these; None where missing.

    Raises:
        ValueError: an object, a list in a list, or bytes that are no text.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, (str, bytes)):
        return (value if isinstance(value, str) else value.decode("utf-8")).strip() or None
    if isinstance(value, list):
        items = [_plain(item) for item in value]
        if any(isinstance(item, list) for item in items):
            raise ValueError(f"expected words or numbers in a list, got {str(value)[:80]}")
        return [item for item in items if item is not None]
    if isinstance(value, dict):
        raise ValueError(f"expected a word, a number or a list of them, got {str(value)[:80]}")
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if (is_number and abs(value) < 2**63) or isinstance(value, float) else str(value)


def of_one_kind(labels: list[Any]) -> list[Any]:
    """Where some labels are words, numbers among them are words too.

    Raises:
        ValueError: some are lists and others are not.
    """
    lists = sum(isinstance(label, list) for label in labels)
    if lists and lists < sum(label is not None for label in labels):
        raise ValueError("expected lists in all rows or in none, got both")
    if lists:
        words = any(isinstance(item, str) for label in labels if label is not None for item in label)
        return [[str(item) for item in label] if words and label is not None else label for label in labels]
    if not any(isinstance(label, str) for label in labels):
        return labels
    return [str(label) if isinstance(label, (int, float)) else label for label in labels]


def _as_numbers(labels: list[Any]) -> list[Any]:
    """Convert a column of numbers written as text; "nan" among numbers is a missing number, among words a word."""
    if not all(label is None or isinstance(label, str) for label in labels):
        return labels
    numbers = [None if label is None or label.lower() == "nan" else label for label in labels]
    if any(label is not None and _LONG_INTEGER.fullmatch(label) for label in numbers):
        return labels
    for pattern, convert in ((_INTEGER, int), (_NUMBER, float)):
        if all(label is None or pattern.fullmatch(label) for label in numbers):
            return [None if label is None else convert(label) for label in numbers]
    return labels


def _named(label: Any, names: Sequence[str]) -> Any:
    if isinstance(label, list):
        return [_named(item, names) for item in label]
    return names[label] if isinstance(label, int) and 0 <= label < len(names) else label


def choose_names(values: Sequence[Any], space_type: type[OutputSpace], where: str, *, user: Sequence[str] | None = None,
                 teacher: Sequence[str] | None = None, features: Sequence[str] | None = None) -> tuple[str, ...]:
    """The label names of a run: the user's, else the teacher's, else the data set's, else what the values imply.

    A teacher with the names LABEL_0, LABEL_1, ... has only positions: integer labels are these positions, a data set
    that declares its classes lends it their names in order, and labels that are words are refused, since any order of
    them would be a guess.

    Args:
        values: Raw, non-missing labels.
        space_type: Says what the values imply when nobody names the labels.
        where: The data, as the user named it, for errors.
        user: Names given by the user, in the order of the teacher's classes.
        teacher: What the teacher was trained to answer.
        features: The classes that the data set declares.

    Raises:
        InputError: the names contradict each other, or there are not enough of them.
    """
    if user is not None:
        names = tuple(user)
        _check_order(names, teacher, where)
    elif teacher is not None and not _is_positional(teacher):
        names = tuple(teacher)
        if any(isinstance(value, int) for value in values):
            logger.info("%s: whole numbers are read as positions in the teacher's labels: %s", where, listed(names))
    elif features is not None:
        names = tuple(features)
    elif teacher is not None and space_type.problem_type != "regression":
        names = _positions(values, teacher, where)
    else:
        names = _implied(values, space_type, where)
    _check_names(names, teacher, space_type, where)
    return names


def _is_positional(names: Sequence[str]) -> bool:
    return all(_POSITIONAL.fullmatch(name) for name in names)


def _implied(values: Sequence[Any], space_type: type[OutputSpace], where: str) -> tuple[str, ...]:
    try:
        return space_type.label_names(values)
    except ValueError as error:
        raise InputError(where, f"the labels do not fit the output space '{space_type.name}': {_sentence(error)}",
                         "Choose another output space or label column.") from error


def _sentence(error: Exception) -> str:
    return str(error).rstrip(".")


def _positions(values: Sequence[Any], teacher: Sequence[str], where: str) -> tuple[str, ...]:
    words = sorted({value for value in _flat(values) if isinstance(value, str)} - set(teacher))
    if words:
        raise InputError(where, f"the labels are words ({listed(words)}) but the teacher only has positions "
                                f"({listed(teacher)})", "Give --label-names in the order of the teacher's classes.")
    return tuple(teacher)


def _flat(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        yield from value if isinstance(value, list) else (value,)


def _check_order(names: tuple[str, ...], teacher: Sequence[str] | None, where: str) -> None:
    if teacher is None:
        return
    ours, theirs = ([name.casefold() for name in side] for side in (names, teacher))
    if ours != theirs and sorted(ours) == sorted(theirs):
        raise InputError(where, f"expected --label-names in the teacher's order ({listed(teacher)}), "
                                f"got {listed(names)}",
                         "Leave --label-names out: the teacher's names are used.")


def _check_names(names: tuple[str, ...], teacher: Sequence[str] | None, space_type: type[OutputSpace],
                 where: str) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(where, f"the label name {repeated[0]!r} is given twice", "Give each class a name of its own.")
    if teacher is not None and len(teacher) != len(names):
        raise InputError(where, f"expected {len(teacher)} labels, one for each class of the teacher "
                                f"({listed(teacher)}), got {len(names)} ({listed(names)})",
                         "Choose a teacher of this task, or tune one here.")
    if space_type.problem_type == "single_label_classification" and len(names) < 2:
        raise InputError(where, f"expected at least two classes, got {len(names)} ({listed(names)})",
                         "Check the label column.")


def match(value: Any, names: Mapping[str, int]) -> Any:
    """The label name that a raw label means, letter case aside; one that is no word, or matches none, is left alone.

    Args:
        value: The raw label.
        names: As `OutputSpace.places` has them.

    Raises:
        ValueError: a number where all names are numbers, but others.
    """
    if isinstance(value, list):
        return [match(item, names) for item in value]
    if isinstance(value, int) and str(value) not in names and all(_INTEGER.fullmatch(name) for name in names):
        # Not an index: among the names 1, 2, 3 the number 0 is no class.
        raise ValueError(f"label {value!r} is none of [{listed(map(repr, names))}]")
    if not isinstance(value, str) or value in names:
        return value
    close = [name for name in names if name.casefold() == value.casefold()]
    return close[0] if len(close) == 1 else value


def encode_split(labels: Sequence[Any], space: OutputSpace, where: str, split: str) -> Tensor:
    """Labels of one split as the space encodes them, its `missing` where there is none.

    Args:
        labels: Raw labels, None where missing.
        space: What they mean.
        where: The data, as the user named it, for errors.
        split: The split, likewise.

    Returns:
        Shape (rows,) or (rows, C), int64 or float64.

    Raises:
        InputError: labels that are not in the space; names the first row, counted from 0, and all such labels.
    """
    rows, values = [], []
    unknown: dict[str, tuple[int, Any, ValueError]] = {}
    for row, label in enumerate(labels):
        if label is not None:
            try:
                values.append(space.encode(match(label, space.places)))
                rows.append(row)
            except ValueError as error:
                unknown.setdefault(repr(label), (row, label, error))
    if unknown:
        (row, label, wrong), *more = unknown.values()
        close = difflib.get_close_matches(str(label), space.labels, n=1)
        is_quantity = isinstance(label, float) and space.problem_type != "regression"
        hint = "For quantities give --output-space regression. " if is_quantity else (
            f"Did you mean {close[0]!r}? " if close else "")
        also = f"; nor are {len(more)} more: {listed((value for _, value, _ in more), 10)}" if more else ""
        remedy = "Correct it, or name another label column." if space.problem_type == "regression" else (
            "Correct it, or name all labels with --label-names, in the order of the teacher's classes if any.")
        raise InputError(f"{where}, split '{split}', row {row}", _sentence(wrong) + also, hint + remedy) from wrong
    missing = torch.as_tensor(np.asarray(space.missing))
    encoded = missing.expand(len(labels), *missing.shape).clone()
    if rows:
        known = torch.as_tensor(np.asarray(values))
        encoded = encoded.to(known.dtype) if known.is_floating_point() else encoded
        encoded[rows] = known.to(encoded.dtype)
    return encoded


def listed(names: Iterable[Any], limit: int = 20) -> str:
    """Names for an error text, cut after `limit`."""
    items = [str(name) for name in names]
    return ", ".join(items[:limit]) + (f", ... ({len(items)} in all)" if len(items) > limit else "")


def stratified(labels: Sequence[Any], count: int, seed: int, *, spare_one: bool = False) -> list[int]:
    """Choose labelled rows, with each label in its share: largest remainders, exact total, each label at least once.

    Labels that are not whole numbers, words or lists (scores of a regression) are one stratum.

    Args:
        labels: Raw labels, None where missing; such rows are never chosen.
        count: How many to choose; all if there are not that many.
        seed: Of the choice within a label.
        spare_one: Leave at least one row of each label unchosen.

    Returns:
        Row numbers in ascending order.
    """
    whole = not any(isinstance(label, float) for label in labels)
    strata: dict[Hashable, list[int]] = {}
    for row, label in enumerate(labels):
        if label is not None:
            key = tuple(label) if isinstance(label, list) else label
            strata.setdefault(key if whole else "", []).append(row)
    shares = _shares([len(rows) for rows in strata.values()], count, spare=int(spare_one))
    random = np.random.default_rng(seed)
    chosen = [rows[index] for rows, share in zip(strata.values(), shares, strict=True)
              for index in random.permutation(len(rows))[:share]]
    return sorted(chosen)


def _shares(sizes: Sequence[int], count: int, spare: int) -> list[int]:
    """Split `count` over strata in proportion to their sizes: at most size - spare each, at least 1 where possible."""
    caps = [size - spare for size in sizes]
    count = min(count, sum(caps))
    total = sum(sizes)
    exact = [size * count / total for size in sizes]
    least = 1 if count >= sum(cap > 0 for cap in caps) else 0
    shares = [min(cap, max(least, math.floor(quota))) for quota, cap in zip(exact, caps, strict=True)]
    step = 1 if sum(shares) < count else -1
    limits = caps if step > 0 else [least] * len(caps)
    movable = [(step * (share - exact[index]), index) for index, share in enumerate(shares)
               if step * (limits[index] - share) > 0]
    heapq.heapify(movable)
    for _ in range(abs(count - sum(shares))):
        _, best = heapq.heappop(movable)
        shares[best] += step
        if step * (limits[best] - shares[best]) > 0:
            heapq.heappush(movable, (step * (shares[best] - exact[best]), best))
    return shares


def sample_rows(rows: Rows, limit: int | None, seed: int) -> Rows:
    """A random sample of at most `limit` rows, in their order; all rows where there is no limit."""
    if limit is None or limit >= len(rows):
        return rows
    return rows.take(np.sort(np.random.default_rng(seed).permutation(len(rows))[:limit]))


def split_validation(parts: dict[str, Rows], fraction: float, seed: int) -> None:
    """Move a stratified share of the labelled training rows into "validation"; each label keeps a training row."""
    train = parts["train"]
    labels = train.labels_of_rows()
    count = max(1, round(fraction * sum(label is not None for label in labels)))
    held = stratified(labels, count, seed, spare_one=True)
    if held:
        parts["validation"] = train.take(held)
        parts["train"] = train.take(np.delete(np.arange(len(train)), held))


def fewer_labels(rows: Rows, count: int, seed: int) -> Rows:
    """So many of the labels, stratified; the others are hidden."""
    kept = rows.chosen[stratified(rows.labels_of_rows(), count, seed)]
    labels: list[Any] = [None] * len(rows.labels)
    for row in kept.tolist():
        labels[row] = rows.labels[row]
    return replace(rows, labels=labels)
