"""Whole runs on every kind of task but one class for one text: each is scored and answers new texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from texts import write_jsonl

from ukd_core import Recipe, distill
from ukd_core.run.progress import Reporter

Command = Callable[..., tuple[int, str, str]]
WORDS = ("oil", "grain", "profit", "ship", "loss")
TERM = """
from ukd_core import Options, Term, hookimpl


class States(Term):
    name = "last-state"
    needs = frozenset({"teacher-states"})
    Options = Options

    def forward(self, batch):
        return (batch.student.pooled[-1].mean() - batch.teacher_states[-1].mean()).square()


@hookimpl
def ukd_register_terms():
    return [States]
"""


def row(number: int, kind: str) -> dict[str, object]:
    """A text with a label that its words decide."""
    used = [WORDS[(number * step + step) % 5] for step in (1, 2, 3)][: 1 + number % 3]
    text = " ".join(used)
    if kind == "pairs":
        other = WORDS[number % 5]
        return {"sentence1": text, "sentence2": other, "label": "in" if other in used else "out"}
    return {"text": text, "label": sorted(set(used) & {"oil", "grain"}) if kind == "multilabel" else
            len(text) / 10 if kind == "regression" else "crude" if "oil" in used else "other"}


def run(folder: Path, kind: str, *, validation: bool = True, **changes: Any) -> dict[str, Any]:
    """A tiny student of a tiny teacher, on a few rows of a kind."""
    (folder / "data").mkdir()
    write_jsonl(folder / "data" / "train.jsonl", [row(number, kind) for number in range(48)])
    if validation:
        write_jsonl(folder / "data" / "validation.jsonl", [row(number, kind) for number in range(48, 60)])
    space = kind if kind in ("multilabel", "regression") else "classes"
    recipe = Recipe.make({
        "teacher": "cnn:layers=2,hidden=8", "student": "cnn:layers=1,hidden=8", "data": str(folder / "data"),
        "output": str(folder / "run"), "cache": str(folder / "cache"), "output_space": space, "max_length": 16,
        "epochs": 1, "teacher_epochs": 1, "device": "cpu", **changes})
    return distill(recipe, reporter=Reporter(quiet=True))


@pytest.mark.parametrize(("kind", "metrics", "answer"), [
    ("multilabel", {"f1_micro", "f1_macro", "accuracy"}, {"text", "labels", "scores"}),
    ("regression", {"pearson", "spearmanr", "mse"}, {"text", "score"}),
    ("pairs", {"accuracy", "f1", "matthews_correlation"}, {"text", "label", "score"}),
])
def test_a_task_is_trained_scored_and_answered(ukd: Command, tmp_path: Path, kind: str, metrics: set[str],
                                               answer: set[str]):
    told = run(tmp_path, kind)
    for side in ("teacher", "student"):
        assert set(told[side]["metrics"]) == metrics
    agreement = told["agreement"]["validation"]
    assert agreement is None if kind == "regression" else 0 <= agreement <= 1
    status, out, err = ukd("eval", tmp_path / "run", "--data", tmp_path / "data", "--cache", tmp_path / "cache")
    assert status == 0, err
    scored = json.loads(out)
    assert {name: scored[name] for name in metrics} == pytest.approx(told["student"]["metrics"], abs=1e-6)
    (tmp_path / "texts.txt").write_text("oil grain\toil\nship\n" if kind == "pairs" else "oil grain\nship\n")
    status, out, err = ukd("predict", tmp_path / "run", tmp_path / "texts.txt")
    assert status == 0, err
    answers = [json.loads(line) for line in out.splitlines()]
    assert [each["text"] for each in answers] == ["oil grain", "ship"]
    assert all(answer <= set(each) for each in answers)


def test_a_run_without_rows_to_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    told = run(tmp_path, "classes", validation=False, validation_fraction=0.0)
    assert told["evaluated_on"] is None
    assert (told["layer_accuracy"], told["agreement"], told["student"]["metrics"]) == ([], {}, {})
    assert (tmp_path / "run" / "student" / "model.safetensors").is_file()


def test_a_term_may_read_the_teachers_states(tmp_path: Path):
    (tmp_path / "mine.py").write_text(TERM)
    phases = [{"name": "states", "terms": [{"term": "last-state"}, {"term": "hard-label"}]}]
    told = run(tmp_path, "classes", plugins=[str(tmp_path / "mine.py")], phases=phases)
    assert told["method"] == "custom"
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert any("loss/last-state" in line for line in log)
    (entry,) = (path for path in (tmp_path / "cache" / "answers").iterdir() if path.is_dir())
    assert {path.name for path in entry.glob("*.npy")} == {
        "train.npy", "validation.npy", "train.layer0.npy", "train.layer1.npy"}


def test_stored_weights_of_another_task_get_a_new_classifier(tmp_path: Path):
    (tmp_path / "first").mkdir()
    run(tmp_path / "first", "classes", method="none")
    (tmp_path / "second").mkdir()
    told = run(tmp_path / "second", "regression", student=str(tmp_path / "first" / "run"), method="none")
    assert told["labels"] == ["score"]
    assert set(told["student"]["metrics"]) == {"pearson", "spearmanr", "mse"}
