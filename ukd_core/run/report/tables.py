"""Tables of numbers in colour: the darker a cell, the greater its number. A table reads itself out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Cell:
    """A number with its shade."""

    text: str
    shade: float
    """0 to 1."""


@dataclass(frozen=True, slots=True)
class Heat:
    """Rows by columns."""

    title: str
    corner: str
    """What rows and columns are."""
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def weights_heat(title: str, weights: Sequence[Sequence[float]], columns: Sequence[str], most: float = 1.0) -> Heat:
    """How much of each teacher layer each student layer learns from.

    Args:
        title: Above the table.
        weights: S × T, rows summing to 1.
        columns: Names of the teacher's layers.
        most: The weight with the darkest shade.
    """
    rows = tuple((str(layer), tuple(Cell(f"{share:.2f}", min(share / most, 1.0)) for share in row))
                 for layer, row in enumerate(weights))
    return Heat(title, "student ↓\nteacher →", tuple(columns), rows)


def confusion_heat(title: str, counts: np.ndarray, names: Sequence[str]) -> Heat:
    """How often each answer was given for each label, shaded by its share of the label's rows.

    Args:
        title: Above the table.
        counts: Shape (C, C), labels first.
        names: Of the classes.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows = tuple((name, tuple(Cell(f"{count:,}", float(share)) for count, share in zip(row, part, strict=True)))
                 for name, row, part in zip(names, counts, shares, strict=True))
    return Heat(title, "label ↓\nanswer →", tuple(names), rows)


@dataclass(frozen=True)
class Listening:
    """Whom the student's layers of one term listened to."""

    term: str
    rows: int
    split: str
    moments: tuple[Heat, ...]
    """First, in the middle, last; one where nothing changed."""
    classes: tuple[Heat, ...]
    """At the last look, by class."""


def listening(term: str, looks: Sequence[Mapping[str, Any]], steps: Sequence[float], layers: int) -> Listening | None:
    """The mixtures of a term over training; None where it has none.

    Args:
        term: Its name in the log.
        looks: The lines of layers.jsonl about it.
        steps: Of the run, one for each line.
        layers: Of the teacher; one more column is its classifier.
    """
    shown = [(line, step) for line, step in zip(looks, steps, strict=True) if line["weights"]]
    if not shown:
        return None
    names = column_names(len(shown[0][0]["weights"][0]), layers)
    chosen = sorted({0, len(shown) // 2, len(shown) - 1})
    if all(line["weights"] == shown[0][0]["weights"] for line, _ in shown):
        chosen = [0]
    last = shown[-1][0]
    same = all(weights == last["weights"] for weights in last["by_class"].values())
    by_class = {} if same else last["by_class"]
    most = max(max(max(row) for row in weights)
               for weights in (*(shown[each][0]["weights"] for each in chosen), *by_class.values()))
    moments = tuple(weights_heat("at every step" if len(chosen) == 1 and len(shown) > 1 else
                                 f"step {shown[each][1]:g}", shown[each][0]["weights"], names, most)
                    for each in chosen)
    classes = tuple(weights_heat(f"“{name}”", weights, names, most) for name, weights in by_class.items())
    return Listening(term, last["rows"], last["split"], moments, classes)


def column_names(count: int, layers: int) -> list[str]:
    """Names of the teacher's layers in a table of so many columns."""
    return [*map(str, range(min(count, layers))), *(["classifier"] * (count > layers))]
