"""A look at the layers while a student learns: what its pseudo heads know, and which teacher layers they listen to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ukd_core.run.batches import RowDataset
from ukd_core.run.lines import append_line, cut
from ukd_core.run.quick_metrics import metric_of
from ukd_core.run.trainer import DistillationModel
from ukd_core.term import TermView

if TYPE_CHECKING:
    from ukd_core.output_space import OutputSpace
    from ukd_core.run.phases import Training

MOST_ROWS = 512
"""More tell a mean over rows little more."""
LEAST_ROWS = 64
"""Fewer tell nothing."""
TRAINED = 64
"""Training rows for one row that is looked at, so that a look costs less than a hundredth of a pass."""
BATCH = 32
DIGITS = 6


@dataclass(frozen=True)
class Sample:
    """The rows that are looked at, the same in every phase."""

    split: str
    rows: RowDataset


def sample_of(training: Training) -> Sample | None:
    """Some validation rows, else training rows, the shortest first; None where no teacher is involved."""
    if training.answers is None:
        return None
    split = "validation" if "validation" in training.rows else "train"
    rows = training.rows[split]
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    kept = order[:sample_size(len(training.rows["train"]))].sort().values
    kept = kept[rows.lengths()[kept].argsort(stable=True)]  # batches of like length hold little padding
    return Sample(split, RowDataset(rows, training.data.labels(split), training.answers.scores(split), keep=kept))


def sample_size(trained: int) -> int:
    """Most rows of a look.

    Args:
        trained: Training rows.
    """
    return min(MOST_ROWS, max(LEAST_ROWS, trained // TRAINED))


class LayerLog(TrainerCallback):  # type: ignore[misc]
    """Looks before the first step, at every checkpoint and at the end, and appends a JSON object a line and term.

    A resumed phase looks at its checkpoint again, in place of the lines that were written from there on, so that the
    file is that of a run that nobody stopped. Where no term shows anything, nothing is written.

    Args:
        path: The file.
        phase: Name of the phase.
        number: Its place in the run, from 1.
        model: Student and terms.
        sample: The rows to look at.
        writes: Whether this process looks; one is enough.
    """

    def __init__(self, path: Path, phase: str, number: int, model: DistillationModel, sample: Sample,
                 writes: bool) -> None:
        self.path = path
        self.place: dict[str, Any] = {"phase": phase, "number": number}
        self.model = model
        self.sample = sample
        self.active = writes
        self.step = -1
        """Of the last look."""

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Before the first step, and where a resumed phase goes on."""
        if self.active:
            number, step = self.place["number"], state.global_step
            cut(self.path, lambda line: (line["number"], line["step"]) < (number, step))
            self._look(args.device, state)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """After every checkpoint, which is where evaluations are."""
        if self.active:
            self._look(args.device, state)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Where the last step was not saved, because nothing is compared."""
        if self.active and self.step != state.global_step:
            self._look(args.device, state)

    def _look(self, device: torch.device, state: TrainerState) -> None:
        self.step = state.global_step
        # What terms keep follows from the progress alone: it is set here, because a resumed run has set nothing yet.
        last = max(state.max_steps - 1, 0)
        self.model.on_progress(min(state.global_step, last) / max(state.max_steps, 1))
        views, labels = look(self.model, self.sample.rows, device)
        self.active = bool(views)
        for term, view in views.items():
            append_line(self.path, {**self.place, "step": state.global_step, "term": term, "split": self.sample.split,
                                    **summary(view, labels, self.model.space)})


def look(model: DistillationModel, rows: RowDataset, device: torch.device) -> tuple[dict[str, TermView], Tensor]:
    """What the terms show of some rows, by their name in the log, and the labels of the rows; changes nothing.

    Returns:
        Views on the CPU, units in the order of `rows`, and labels of shape (rows,) or (rows, C).
    """
    found: dict[str, list[TermView]] = {}
    labels = []
    gpu = [device] if device.type == "cuda" else []
    with _evaluating(model), torch.random.fork_rng(gpu), torch.no_grad():
        for begin in range(0, len(rows), BATCH):
            batch = rows.__getitems__(range(begin, min(begin + BATCH, len(rows))))
            labels.append(batch["labels"])
            views = model.look(**{key: value.to(device) for key, value in batch.items()})
            if not views:
                break
            for term, view in views.items():
                found.setdefault(term, []).append(view)
    return {term: TermView(_joined([view.scores for view in parts]), _joined([view.weights for view in parts], -1))
            for term, parts in found.items()}, torch.cat(labels)


def summary(view: TermView, labels: Tensor, space: OutputSpace) -> dict[str, Any]:
    """A view in a few numbers, ready for JSON.

    Args:
        view: On the CPU.
        labels: Of the same units, shape (units,) or (units, C).
        space: Meaning of both.

    Returns:
        `rows`; `student`, the space's metric of each student layer on labelled rows; `weights`, S × T, the mean over
        rows; `by_class`, the same over the labelled rows of each class that has some. None where there is nothing.
    """
    return {
        "rows": len(labels), "metric": space.metric,
        "student": None if view.scores is None else _quality(view.scores, labels, space),
        "weights": None if view.weights is None else _mean(view.weights),
        "by_class": None if view.weights is None else {
            name: _mean(view.weights[..., rows]) for name, rows in rows_by_class(labels, space).items()}}


def _quality(scores: Tensor, labels: Tensor, space: OutputSpace) -> list[float] | None:
    """The metric of each layer on labelled rows, for scores of shape (S, units, C); None where no row has a label."""
    known = space.is_labelled(labels)
    if not known.any():
        return None
    metric, true = metric_of(space), labels[known].numpy()
    return [metric(space.predictions(layer[known]).numpy(), true) for layer in scores]


def rows_by_class(labels: Tensor, space: OutputSpace) -> dict[str, Tensor]:
    """Which units have each label, shape (units,), bool; only labels that occur, and none where labels are numbers.

    Args:
        labels: Encoded, shape (units,) or (units, C).
        space: Their meaning.
    """
    if space.problem_type == "regression":
        return {}
    known = space.is_labelled(labels)
    held = {name: known & (labels == index if labels.ndim == 1 else labels[:, index] > 0)
            for index, name in enumerate(space.labels)}
    return {name: rows for name, rows in held.items() if rows.any()}


def _mean(weights: Tensor) -> list[list[float]]:
    return [[round(share, DIGITS) for share in row] for row in weights.double().mean(dim=-1).tolist()]


def _joined(parts: list[Tensor | None], dim: int = 1) -> Tensor | None:
    given = [part.float().cpu() for part in parts if part is not None]
    return torch.cat(given, dim=dim) if given else None


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Within the context the model is in evaluation mode; afterwards every module is as it was."""
    before: Mapping[nn.Module, bool] = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training
