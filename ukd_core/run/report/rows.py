"""The rows of a run: where student and teacher differ, which answer is taken for which, how far probabilities hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ukd_core.errors import UKDError
from ukd_core.run.data import TaskData, encode_data, read_data
from ukd_core.run.output import cache_of_run

if TYPE_CHECKING:
    from torch import Tensor

    from ukd_core.output_space import OutputSpace
    from ukd_core.run.recipe import Recipe
    from ukd_core.run.verdict.stored import StoredRun

MOST_ROWS = 50
LONGEST = 600
"""Characters of a text that are shown."""
REGRESSION = "regression"


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A row that student and teacher answer differently."""

    texts: tuple[str, ...]
    label: str
    teacher: str
    student: str


def disagreements(run: StoredRun, split: str) -> tuple[list[Disagreement], int, str]:
    """The rows that both answer differently, the surest answers first.

    Sure is the product of both probabilities for classes, the widest gap between both probabilities of a label for
    several labels, and the distance of the numbers for regression.

    Returns:
        At most `MOST_ROWS` rows, how many there are, and why there are no texts (empty where there are).
    """
    teacher, student = run.answers[f"{split}.teacher"], run.answers[f"{split}.student"]
    order = _surest(run.space, teacher, student)
    chosen = order[:MOST_ROWS]
    texts, problem = _texts(run, split, chosen)
    told = [[_said(answer) for answer in run.space.describe(scores[chosen])] for scores in (teacher, student)]
    labels = _labels(run.space, run.answers[f"{split}.labels"][chosen])
    rows = [Disagreement(*each) for each in zip(texts, labels, *told, strict=True)]
    return rows, len(order), problem


def _surest(space: OutputSpace, teacher: Tensor, student: Tensor) -> Tensor:
    """Numbers of the rows with different answers, in the order in which they are shown; shape (rows,)."""
    answers = space.predictions(teacher), space.predictions(student)
    if space.problem_type == REGRESSION:
        gap = (answers[0] - answers[1]).abs()
        return gap.argsort(descending=True, stable=True)
    shares = [torch.as_tensor(probabilities(space, scores)) for scores in (teacher, student)]
    apart = answers[0] != answers[1]
    if answers[0].ndim == 1:
        sure = shares[0].max(dim=1).values * shares[1].max(dim=1).values
    else:
        sure = ((shares[0] - shares[1]).abs() * apart).max(dim=1).values
        apart = apart.any(dim=1)
    rows = apart.nonzero().flatten()
    return rows[sure[rows].argsort(descending=True, stable=True)]


def probabilities(space: OutputSpace, scores: Tensor) -> np.ndarray:
    """Probability of every label, as the space describes it: shapes (rows, C) to (rows, C)."""
    return np.array([list(answer["scores"].values()) for answer in space.describe(scores)]).reshape(scores.shape)


def _said(answer: Mapping[str, Any]) -> str:
    """An answer of `OutputSpace.describe` for people."""
    if "label" in answer:
        return f"{answer['label']} ({answer['score']:.2f})"
    if "labels" in answer:
        return ", ".join(f"{name} ({answer['scores'][name]:.2f})" for name in answer["labels"]) or "none"
    return ", ".join(f"{value:.3f}" if isinstance(value, float) else str(value) for value in answer.values())


def _labels(space: OutputSpace, labels: Tensor) -> list[str]:
    known = space.is_labelled(labels).tolist()
    return [_label(space, value) if there else "–" for value, there in zip(labels.tolist(), known, strict=True)]


def _label(space: OutputSpace, value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(name for name, holds in zip(space.labels, value, strict=True) if holds) or "none"
    return f"{value:.3f}" if isinstance(value, float) else space.labels[value]


def _texts(run: StoredRun, split: str, rows: Tensor) -> tuple[list[tuple[str, ...]], str]:
    """The texts of some rows, read again; without them the reason."""
    nothing: list[tuple[str, ...]] = [()] * len(rows)
    try:
        data = read_again(run.recipe, run.space, run.metrics["rows"])
    except (UKDError, OSError) as error:
        return nothing, f"The texts cannot be read again: {error}"
    labels = run.answers[f"{split}.labels"]
    if data is None or not torch.equal(data.labels(split).nan_to_num(-1), labels.nan_to_num(-1)):
        return nothing, "The data changed since the run: its texts are not shown."
    part = data.splits[split].select(rows.tolist())
    columns = [part[column][:] for column in (("text", "pair") if data.pairs else ("text",))]
    return [tuple(_short(text) for text in texts) for texts in zip(*columns, strict=True)], ""


def read_again(recipe: Recipe, space: OutputSpace, rows: Mapping[str, int]) -> TaskData | None:
    """The data of a run; None where its splits have other numbers of rows than `rows` says.

    Args:
        recipe: Of the run.
        space: With the labels of the run.
        rows: By split.
    """
    raw = read_data(recipe.data, text_columns=recipe.text_columns, label_column=recipe.label_column,
                    max_train_rows=recipe.max_train_rows, max_eval_rows=recipe.max_eval_rows,
                    max_labels=recipe.max_labels, validation_fraction=recipe.validation_fraction,
                    seed=recipe.data_seed, cache=cache_of_run(recipe))
    data = encode_data(raw, type(space), label_names=recipe.label_names, teacher_labels=space.labels)
    return data if {name: len(split) for name, split in data.splits.items()} == dict(rows) else None


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST].rstrip()} …"


def confusion(space: OutputSpace, scores: Tensor, labels: Tensor) -> np.ndarray:
    """How often each answer was given for each label: shape (C, C), labels first; of labelled rows.

    Args:
        space: Of classes.
        scores: Shape (rows, C).
        labels: Shape (rows,).
    """
    known = space.is_labelled(labels)
    counts = np.zeros((space.size, space.size), dtype=np.int64)
    np.add.at(counts, (labels[known].numpy(), space.predictions(scores[known]).numpy()), 1)
    return counts


def sure_and_right(space: OutputSpace, scores: Tensor, labels: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """How sure each answer is and whether it is right, shapes (answers,), of labelled rows.

    For classes the answer is the likeliest class; for several labels each label is a question of its own.

    Args:
        space: Whose `describe` gives probabilities.
        scores: Shape (rows, C).
        labels: Shape (rows,) or (rows, C).
    """
    known = space.is_labelled(labels)
    shares, given = probabilities(space, scores[known]), labels[known].numpy()
    if given.ndim == 1:
        return shares.max(axis=1), shares.argmax(axis=1) == given
    return shares.ravel(), given.ravel() > 0


def most_confused(counts: np.ndarray, names: Sequence[str], most: int = 20) -> list[tuple[str, str, int]]:
    """The commonest wrong answers: label, answer, rows; for tasks with too many classes for a whole matrix.

    Args:
        counts: Shape (C, C), labels first.
        names: Of the classes.
        most: So many at most.
    """
    wrong = counts - np.diag(counts.diagonal())
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    places = zip(*np.unravel_index(order, wrong.shape), strict=True)
    return [(names[label], names[answer], int(wrong[label, answer])) for label, answer in places
            if wrong[label, answer]]
