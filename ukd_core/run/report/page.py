"""The page of a run: from what its folder holds to HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from markupsafe import Markup

from ukd_core.errors import UKDError
from ukd_core.run.combination import find_method
from ukd_core.run.report import figures, rows, tables
from ukd_core.run.report.command import distill_command
from ukd_core.run.report.history import History
from ukd_core.run.report.render import render
from ukd_core.run.verdict import Verdict, verdict_of
from ukd_core.run.verdict.calibration import reliability
from ukd_core.run.verdict.stored import StoredRun

if TYPE_CHECKING:
    from ukd_core.method import Phase
    from ukd_core.plugins import Registry

MOST_CLASSES = 20
"""A task with more has its commonest confusions listed, and only so many classes in the mixtures by class."""
LISTED_STEPS = 24
"""Lines of the table that goes with a curve."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure with its numbers."""

    svg: Markup
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Layers:
    """What pseudo heads know."""

    figure: Drawn
    term: str
    split: str
    rows: int


def run_page(folder: Path, registry: Registry | None = None) -> str:
    """The page of a finished run, as HTML; `registry` as `StoredRun.read` takes it.

    Raises:
        InputError: the folder holds no finished run.
    """
    run = StoredRun.read(folder, registry)
    verdict, history = verdict_of(folder, run.registry), History.read(folder)
    split = verdict.split
    answered = {} if split is None else _answered(run, split)
    return render("run.html", run=run, metrics=run.metrics, verdict=verdict, front=_front(verdict),
                  curves=list(_curves(run, history)), layers=list(_layers(run, history)),
                  listening=list(_listening(run, history)), most_classes=MOST_CLASSES, phases=_phases(run),
                  recipe=yaml.safe_dump(run.recipe.written(), sort_keys=False, allow_unicode=True),
                  command=distill_command(run.recipe, str(folder)), **answered)


def _answered(run: StoredRun, split: str) -> dict[str, Any]:
    """The sections about single rows."""
    differ, count, problem = rows.disagreements(run, split)
    found: dict[str, Any] = {"differ": differ, "differ_count": count, "texts_problem": problem}
    space, labels = run.space, run.answers[f"{split}.labels"]
    sides = {side: run.answers[f"{split}.{side}"] for side in ("teacher", "student")}
    if space.problem_type == rows.REGRESSION or not run.labelled(split).any():
        return found
    bins = [(side, reliability(*rows.sure_and_right(space, scores, labels))) for side, scores in sides.items()]
    listed = tuple((side, f"{sure:.3f}", f"{right:.3f}", f"{count:,}") for side, each in bins
                   for sure, right, count in each)
    found["reliability"] = Drawn(figures.reliability_figure(bins),
                                 ("model", "how sure", "how often right", "answers"), listed)
    if labels.ndim == 1:
        counts = {side: rows.confusion(space, scores, labels) for side, scores in sides.items()}
        if space.size <= MOST_CLASSES:
            found["confusion"] = [tables.confusion_heat(side, each, space.labels) for side, each in counts.items()]
        else:
            found["confused"] = [(side, rows.most_confused(each, space.labels)) for side, each in counts.items()]
    return found


def _front(verdict: Verdict) -> Drawn | None:
    """Quality against latency; None where speed or quality is not known."""
    points = []
    for model in verdict.models:
        speed = model.speed or (verdict.student.speed if model.role == "baseline" else None)
        if speed is not None and model.quality is not None:
            name = model.name if model.role == "alternative" else {"baseline": "labels alone"}.get(model.role,
                                                                                                   model.role)
            points.append(figures.Point(name, speed.p50_ms, model.quality.mean, model.quality.low, model.quality.high,
                                        model.role))
    if len(points) < 2:
        return None
    front = figures.front_of(points)
    listed = tuple((point.name, f"{point.ms:.2f}", f"{point.score:.4f}", "yes" if point in front else "no")
                   for point in points)
    return Drawn(figures.front_figure(points, verdict.metric), ("model", "ms", verdict.metric, "on the front"), listed)


def _curves(run: StoredRun, history: History) -> Iterator[Drawn]:
    phases, end = list(history.phases.values()), max(map(history.step, history.log), default=1.0)
    metric = run.metrics["metric"]
    reference = run.metrics["teacher"]["by_split"].get("validation", {}).get(metric)
    titles = {f"eval_{metric}": f"{metric} on validation (dashed: teacher)", "loss": "loss, weighted sum of the terms"}
    for number, key in enumerate([f"eval_{metric}", *history.losses()]):
        steps, values = history.series(key)
        if steps:
            title = titles.get(key) or f"term {key.removeprefix('loss/')}"
            curve = figures.Curve(title, steps, values, reference if key.startswith("eval_") else None)
            every = -(-len(steps) // LISTED_STEPS)
            listed = tuple((f"{step:g}", f"{value:.4g}")
                           for step, value in list(zip(steps, values, strict=True))[::every])
            yield Drawn(figures.curve_figure(curve, number, phases, end), ("step", title), listed)


def _teacher_layers(run: StoredRun) -> int:
    """Of the model that taught the student: the teacher, or the last of its assistants."""
    return int([run.metrics["teacher"], *run.metrics.get("assistants", ())][-1]["layers"])


def _layers(run: StoredRun, history: History) -> Iterator[Layers]:
    metric = run.metrics["metric"]
    teacher = [] if run.metrics.get("assistants") else run.metrics["layer_accuracy"]
    looks = {term: [line for line in lines if line["student"]] for term, lines in history.terms().items()}
    shown = {term: lines for term, lines in looks.items() if lines}
    if not shown and any(score is not None for score in teacher):
        shown[""] = []
    for number, (term, lines) in enumerate(shown.items()):
        chosen = [lines[0], lines[-1]] if len(lines) > 1 else lines
        student = [(f"at step {history.step(line):g}", line["student"]) for line in chosen]
        own = run.metrics["student"]["metrics"].get(metric)
        if lines and own is not None and len(lines[-1]["student"]) == run.metrics["student"]["layers"] - 1:
            student[-1] = (student[-1][0], [*lines[-1]["student"], own])  # on its last layer sits its own classifier
        listed = [("teacher", *("-" if score is None else f"{score:.4f}" for score in teacher)),
                  *((f"student, step {history.step(line):g}", *(f"{score:.4f}" for score in line["student"]))
                    for line in lines)]
        width = max(map(len, listed))
        header = ("", *(f"layer {layer}" for layer in range(width - 1)))
        padded = tuple((*line, *([""] * (width - len(line)))) for line in listed if len(line) > 1)
        yield Layers(Drawn(figures.layer_figure(teacher, student, metric, number), header, padded), term,
                     lines[-1]["split"] if lines else "", lines[-1]["rows"] if lines else 0)


def _listening(run: StoredRun, history: History) -> Iterator[tables.Listening]:
    for term, lines in history.terms().items():
        found = tables.listening(term, lines, [history.step(line) for line in lines], _teacher_layers(run))
        if found is not None:
            yield found


def _phases(run: StoredRun) -> Sequence[Phase]:
    """What was trained in which order; empty where the method cannot be looked up any more."""
    if run.recipe.phases:
        return run.recipe.phases
    try:
        return find_method(run.recipe.method, run.registry).phases
    except UKDError:
        return ()
