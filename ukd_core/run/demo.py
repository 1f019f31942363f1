"""``ukd demo``: few labels, much unlabelled text, on a real encoder and real news stories."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ukd_core.run.alternatives import ALTERNATIVES, labelled_task
from ukd_core.run.answer import TorchModel, load_model
from ukd_core.run.distill import completed
from ukd_core.run.plan import Plan, make_plan
from ukd_core.run.progress import Reporter
from ukd_core.run.recipe import Recipe
from ukd_core.run.speed import Answer, measure_speed
from ukd_core.run.table import text_table
from ukd_core.run.trainer import evaluate_scores

if TYPE_CHECKING:
    from ukd_core.plugins import Registry

SETTINGS: Mapping[str, Any] = {
    "teacher": "embedded:minilm", "teacher_tuning": "probe", "data": "embedded:reuters-r8", "max_labels": 275,
    "validation_fraction": 0.0, "max_length": 32, "device": "cpu",
}
"""Recipe keys of all runs: one label in twenty, as where labelling costs money; the first 32 tokens, since news says
what it is about in its first words and twice as many make the demo twice as long."""
STUDENTS: Mapping[str, Mapping[str, Any]] = {
    "bilstm": {"student": "bilstm:layers=2,hidden=64,train_embeddings=false", "epochs": 2.0, "learning_rate": 3e-3},
    "cnn": {"student": "cnn:layers=3,hidden=128,train_embeddings=false", "epochs": 3.0, "learning_rate": 3e-3},
    "bert": {"student": "bert:layers=2,init=teacher-lower,freeze_embeddings=true", "epochs": 0.8, "batch_size": 16,
             "learning_rate": 5e-4},
    "bag": {"student": "bag", "epochs": 5.0},
}
"""Recipe keys of each student, set so that all twelve runs take minutes on two cores; the same for all its methods."""
METHODS = ("none", "logit-kd", "universal-kd")
SPEED_TEXTS = 200
SPEED_SECONDS = 1.0
NOISE = 2.0
"""Standard errors by which a method must beat labels alone before it counts as a help."""


def demo(folder: Path, cache: Path) -> str:
    """Run (or reuse) twelve distillations and give one table as text."""
    reporter = Reporter()
    start = time.perf_counter()
    plan = make_plan(_recipe(folder / "unused", "bilstm", "none", cache))
    rows = [_baseline_row(plan)]
    runs: dict[tuple[str, str], dict[str, Any]] = {}
    for student in STUDENTS:
        for method in METHODS:
            recipe = _recipe(folder / student / method, student, method, cache)
            reporter.say(f"{recipe.output}: {student} by {method}")
            runs[student, method] = completed(recipe, reporter, check=False)
    any_run = runs["bilstm", "none"]
    texts = plan.data.splits["test"]["text"][:SPEED_TEXTS]
    rows.insert(0, _teacher_row(any_run, plan, texts))
    for (student, method), metrics in runs.items():
        rows.append(_student_row(student, method, metrics, folder, plan.registry, cache, texts))
    table = text_table(
        f"Reuters R8: {SETTINGS['max_labels']} of {any_run['rows']['train']:,} training stories labelled; "
        f"accuracy on {any_run['rows']['test']:,} test stories",
        ["model", "trained by", "accuracy", "parameters", "stories/s on this machine"], rows, (2, 3, 4))
    layers = " ".join(f"{score:.3f}" for score in any_run["layer_accuracy"])
    return "\n".join([table, f"teacher by layer: {layers}", *_verdicts(runs),
                      f"runs: {folder}/   seconds: {time.perf_counter() - start:.0f}"])


def _recipe(output: Path, student: str, method: str, cache: Path) -> Recipe:
    return Recipe.make({**SETTINGS, **STUDENTS[student], "method": method, "output": str(output), "cache": str(cache)})


def _baseline_row(plan: Plan) -> list[str]:
    """TF-IDF and logistic regression on the same labels: what a user would try first."""
    data = plan.data
    model = ALTERNATIVES["tfidf"].fit(labelled_task(plan, Reporter(quiet=True)))
    texts = data.splits["test"]["text"][:]
    accuracy = evaluate_scores(torch.from_numpy(model.answer(texts, None)), data.labels("test"), data.space)["accuracy"]
    return ["TF-IDF + logistic regression", "labels alone", f"{accuracy:.4f}", f"{model.parameters:,}",
            _speed(model.answer, texts)]


def _teacher_row(metrics: Mapping[str, Any], plan: Plan, texts: list[str]) -> list[str]:
    part, source = metrics["teacher"], plan.teacher.load(plan.data.space)
    source.tokenizer.model_max_length = SETTINGS["max_length"]
    model = TorchModel("teacher", source.eval(), plan.data.space, 0)
    return ["teacher: MiniLM, 6 layers", "probe on the labels", f"{part['metrics']['accuracy']:.4f}",
            f"{part['parameters']:,}", _speed(model.answer, texts)]


def _student_row(student: str, method: str, metrics: Mapping[str, Any], folder: Path, registry: Registry,
                 cache: Path, texts: list[str]) -> list[str]:
    part, model = metrics["student"], load_model(str(folder / student / method), registry, cache)
    return [student, method, f"{part['metrics']['accuracy']:.4f}", f"{part['parameters']:,}",
            _speed(model.answer, texts)]


def _speed(answer: Answer, texts: list[str]) -> str:
    return f"{measure_speed(answer, texts, seconds=SPEED_SECONDS).per_second:,.0f}"


def _verdicts(runs: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[str]:
    """Whether each method helped each student, beside the noise of one run on these test stories."""
    lines = []
    for student in STUDENTS:
        alone = runs[student, "none"]["student"]["metrics"]["accuracy"]
        tests = runs[student, "none"]["rows"]["test"]
        noise = NOISE * (2 * alone * (1 - alone) / tests) ** 0.5
        for method in METHODS[1:]:
            gain = runs[student, method]["student"]["metrics"]["accuracy"] - alone
            verdict = "helped" if gain > noise else "did not help beyond noise" if gain > 0 else "did not help"
            lines.append(f"{student}, {method}: {verdict} ({gain:+.4f} over labels alone; noise of one seed on "
                         f"these stories, two standard errors: {noise:.4f})")
    return lines


