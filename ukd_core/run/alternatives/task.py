"""The one interface of an alternative: labelled rows in, an answer function out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ukd_core.output_space import OutputSpace
    from ukd_core.run.teacher import Teacher

CLASSES, SEVERAL, NUMBER = "single_label_classification", "multi_label_classification", "regression"
"""Values of `OutputSpace.problem_type`."""
LEAST_CHANCE = 1e-12
"""Stands for the probability of a class that a model has never seen."""


class NotServed(Exception):
    """An alternative cannot be tried here; its text says why, as the end of a sentence."""


@dataclass(frozen=True)
class Task:
    """What an alternative is fitted to: the labelled training rows of a run."""

    texts: Sequence[str]
    pairs: Sequence[str] | None
    labels: np.ndarray
    """Encoded, no missing one: shape (rows,) or (rows, C)."""
    space: OutputSpace
    seed: int
    max_length: int
    """Longest input of the teacher in tokens."""
    teacher: Callable[[], Teacher]
    """Gives the run's teacher, on the CPU, for alternatives that are made of it."""


@dataclass(frozen=True)
class Fitted:
    """An alternative that can answer."""

    answer: Callable[[Sequence[str], Sequence[str] | None], np.ndarray]
    """From texts (and second texts) to scores as the space has them: (rows, C), floating."""
    bytes: int
    """Of all that it needs to answer."""
    parameters: int | None
    """Its weights."""


@dataclass(frozen=True)
class Alternative:
    """Something that a user would pick instead."""

    name: str
    """On the command line."""
    title: str
    """In the verdict."""
    fit: Callable[[Task], Fitted]
    """Called once; raises `NotServed` where it cannot serve the task."""


def joined(texts: Sequence[str], pairs: Sequence[str] | None) -> list[str]:
    """One text a row: those of a pair one after the other."""
    return list(texts) if pairs is None else [f"{text}\n{pair}" for text, pair in zip(texts, pairs, strict=True)]
