"""The verdict on a finished run: a function of what its folder holds, and of nothing else."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ukd_core import formats
from ukd_core.errors import InputError
from ukd_core.run.baseline import FOLDER, METHOD
from ukd_core.run.compare.bootstrap import Interval
from ukd_core.run.compare.constant import best_constant
from ukd_core.run.compare.judge import Judge
from ukd_core.run.files import write_text
from ukd_core.run.verdict.calibration import calibration
from ukd_core.run.verdict.judged import Floor, Model, Outcome, Verdict, model_of, speed_of
from ukd_core.run.verdict.stored import StoredRun, is_finished
from ukd_core.run.verdict.words import sentences

if TYPE_CHECKING:
    from torch import Tensor

    from ukd_core.plugins import Registry

ALTERNATIVES = "alternatives.json"
"""File within a run folder: what a user would pick instead, as `ukd_core.run.alternatives` found it."""


def verdict_of(folder: str | Path, registry: Registry | None = None) -> Verdict:
    """Judge the run in a folder, by what it, its ``baseline/`` and its ``alternatives.json`` hold; writes nothing.

    Args:
        folder: As `ukd distill` left it.
        registry: Output spaces; None for those that are installed. What its recipe names is not loaded.

    Raises:
        InputError: it holds no finished run.
    """
    run = StoredRun.read(folder, registry)
    models = _compared(list(_models(run)))
    split = run.split
    over = next((model.over for model in models if model.role == "baseline"), None)
    verdict = Verdict(run.metrics["method"], run.metrics["seed"], split, run.space.metric,
                      0 if split is None else len(run.labels(split)),
                      0 if split is None else int(run.labelled(split).sum()),
                      outcome_of(over), over, tuple(models), (), None if split is None else _floor(run, split))
    return dataclasses.replace(verdict, sentences=tuple(sentences(verdict)))


def write_verdict(folder: str | Path, registry: Registry | None = None) -> Verdict:
    """Judge a run and write ``verdict.json`` into its folder; raises as `verdict_of` does."""
    verdict = verdict_of(folder, registry)
    write_text(Path(folder) / "verdict.json", json.dumps(verdict.written(), indent=2) + "\n")
    return verdict


def outcome_of(difference: Interval | None) -> Outcome:
    """What the difference between a student and its baseline says of distillation."""
    if difference is None:
        return "cannot tell"
    return "helped" if difference.low > 0.0 else "hurt" if difference.high < 0.0 else "did not help"


def _models(run: StoredRun) -> Iterator[Model]:
    """Every row of the table, not yet compared with each other."""
    split = run.split
    for role in ("teacher", "student"):
        part, speed = run.metrics[role], run.metrics.get("speed", {})
        model = Model(role, part["name"], parameters=part["parameters"], bytes=part.get("bytes"),
                      speed=speed_of(speed.get(role)),
                      speed_cuda=speed_of(run.metrics.get("speed_cuda", {}).get(role)))
        yield model if split is None else _scored(run, split, model, run.answers[f"{split}.{role}"])
    if run.metrics["method"] != METHOD and is_finished(run.folder / FOLDER):
        yield from _baseline(run, StoredRun.read(run.folder / FOLDER, run.registry))
    yield from map(model_of, read_alternatives(run.folder))


def read_alternatives(folder: Path) -> list[dict[str, Any]]:
    """What was tried beside the student of a run, as plain values; none where nothing was.

    Raises:
        InputError: the file is damaged, or of another version.
    """
    path, where = folder / ALTERNATIVES, f"run '{folder}'"
    if not path.exists():
        return []
    found = formats.ALTERNATIVES.read(path, where).get("models")
    known = {field.name for field in dataclasses.fields(Model)}
    if not isinstance(found, list) or not all(isinstance(each, dict) and {"role", "name"} <= set(each) <= known
                                              for each in found):
        raise InputError(where, f"expected a list of models in {ALTERNATIVES}, got something else",
                         formats.ALTERNATIVES.remedy)
    return found


def _baseline(run: StoredRun, other: StoredRun) -> Iterator[Model]:
    """The baseline, where it answered the same rows."""
    split, part = run.split, other.metrics["student"]
    model = Model("baseline", "same student, labels alone", parameters=part["parameters"], bytes=part.get("bytes"))
    if split is None:
        yield model
    elif torch.equal(run.answers[f"{split}.labels"].nan_to_num(), other.answers[f"{split}.labels"].nan_to_num()):
        yield _scored(run, split, model, other.answers[f"{split}.student"])


def _scored(run: StoredRun, split: str, model: Model, logits: Tensor) -> Model:
    """A model with what its answers to a split say: all that needs no other model."""
    return dataclasses.replace(model, **scores_of(run, split, logits, compare=model.role != "student"))


def scores_of(run: StoredRun, split: str, logits: Tensor, *, compare: bool = True) -> dict[str, Any]:
    """What a model's scores of a split say, as fields of `Model`; called for every row of the table.

    Args:
        run: The run, with the labels, the teacher's and the student's scores.
        split: As `StoredRun.split`.
        logits: Of the model, shape (rows, C).
        compare: Give the student's difference as well.
    """
    given = run.predictions(logits)
    found: dict[str, Any] = {}
    if run.space.problem_type != "regression":
        found["agreement"] = float((given == run.predictions(run.answers[f"{split}.teacher"])).mean())
    known = run.labelled(split)
    if not known.any():
        return found
    labels = run.labels(split)[known]
    judge = Judge(run.space, labels)
    ece, nll = calibration(logits.numpy()[known], labels, run.space.problem_type)
    found |= {"quality": judge.quality(given[known]), "ece": ece, "nll": nll}
    if compare:
        student = run.predictions(run.answers[f"{split}.student"])
        found["over"] = judge.difference(student[None, known], given[None, known])
    return found


def _floor(run: StoredRun, split: str) -> Floor | None:
    """The best of the models that give every row the same answer."""
    known = run.labelled(split)
    labels = run.labels(split)[known]
    constant = best_constant(run.space, labels) if known.any() else None
    if constant is None:
        return None
    student = run.predictions(run.answers[f"{split}.student"])[known]
    return Floor(constant.answer, constant.score,
                 Judge(run.space, labels).difference(student[None], constant.predictions[None]))


def _compared(models: list[Model]) -> list[Model]:
    """Models with their shares of the teacher's quality and speed."""
    teacher = models[0]
    return [dataclasses.replace(model, kept=_share(model.quality, teacher.quality),
                                speed_up=None if model.speed is None or teacher.speed is None
                                else model.speed.per_second / teacher.speed.per_second) for model in models]


def _share(quality: Interval | None, of: Interval | None) -> float | None:
    """None where the teacher's score is not above 0: a share of it would say nothing."""
    return None if quality is None or of is None or of.mean <= 0.0 else quality.mean / of.mean
