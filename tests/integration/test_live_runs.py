"""Whole runs with a teacher that runs beside the student: TinyBERT, PID and SID."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from stopped import cut_at
from texts import write_jsonl
from transformers import AutoModelForSequenceClassification

from ukd_core import Recipe, distill
from ukd_core.errors import InputError
from ukd_core.run import distill as distill_module
from ukd_core.run import trainer as trainer_module
from ukd_core.run.progress import Reporter

QUIET = Reporter(quiet=True)
TEACHER = "bert:layers=4,hidden=24,heads=3,intermediate=32,vocab_size=320"
STUDENT = "bert:layers=2,hidden=16,heads=2,intermediate=20"
ROWS, PASSES = 24, 4


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of two classes that differ in their words, of 3 to 12 words each."""
    folder, draw = tmp_path_factory.mktemp("words"), random.Random(0)
    lists = {"sea": ["harbour", "ferry", "tide", "salt"], "field": ["barley", "plough", "meadow", "hay"]}
    for split, rows in (("train", ROWS), ("validation", 12)):
        write_jsonl(folder / f"{split}.jsonl", [
            {"text": " ".join(draw.choices(lists[label], k=draw.randint(3, 12))), "label": label}
            for label in [("sea", "field")[number % 2] for number in range(rows)]])
    return folder


def make(words: Path, cache: Path, output: Path, method: str, **changes: object) -> Recipe:
    return Recipe.make({"teacher": TEACHER, "student": STUDENT, "data": str(words), "output": str(output),
                        "device": "cpu", "cache": str(cache), "max_length": 16, "epochs": PASSES, "teacher_epochs": 2,
                        "batch_size": 8, "method": method, **changes})


def log_of(run: Path) -> list[dict[str, float | str]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("method", "phases", "terms"), [
    ("tinybert", ["intermediate", "prediction"], {"token-embeddings", "attention-map", "token-hidden"}),
    ("pid", ["internal", "answers"], {"attention-map", "pooled-cosine"}),
    ("sid", ["internal", "answers"], {"attention-map", "pooled-cosine"})])
def test_a_run_of_each_method(words: Path, cache: Path, tmp_path: Path, method: str, phases: list[str],
                              terms: set[str]):
    metrics = distill(make(words, cache, tmp_path / "run", method), reporter=QUIET)
    log = log_of(tmp_path / "run")
    first = [entry for entry in log if entry["phase"] == phases[0] and "loss" in entry]
    assert list(dict.fromkeys(entry["phase"] for entry in log)) == phases
    assert {key for entry in first for key in entry if key.startswith("loss/")} == {f"loss/{term}" for term in terms}
    assert metrics["teacher_rows_live"] == 9 * 8  # nine of the twelve steps
    weights = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / "student")
    assert sum(weight.numel() for weight in weights.parameters()) == metrics["student"]["parameters"]
    assert weights.config.hidden_size == 16
    assert {name.split(".")[0] for name in weights.state_dict()} == {"bert", "classifier"}
    if method == "tinybert":
        for term in terms:
            losses = [float(entry[f"loss/{term}"]) for entry in first]
            assert sum(losses[-3:]) < sum(losses[:3])


def test_other_methods_leave_the_teacher_alone(words: Path, cache: Path, tmp_path: Path):
    metrics = distill(make(words, cache, tmp_path / "run", "logit-kd", epochs=1), reporter=QUIET)
    assert metrics["teacher_rows_live"] == 0


def test_a_resumed_run_is_the_same_run_and_no_checkpoint_holds_the_teacher(words: Path, cache: Path, tmp_path: Path,
                                                                           monkeypatch: pytest.MonkeyPatch):
    distill(make(words, cache, tmp_path / "whole", "sid"), reporter=QUIET)
    recipe = make(words, cache, tmp_path / "cut", "sid")
    cut_at(7, recipe, monkeypatch)
    (checkpoint,) = (tmp_path / "cut" / "checkpoints").glob("1-*/checkpoint-6")
    held = load_file(checkpoint / "model.safetensors")
    assert {name.split(".")[0] for name in held} == {"source", "terms"}
    sizes = {side: {size for name, tensor in held.items() if name.startswith(side) for size in tensor.shape}
             for side in ("source.", "terms.")}
    assert not sizes["source."] & {24, 32} and sizes["terms."] == {16, 24}  # 24 and 32 are the teacher's widths
    moments = torch.load(checkpoint / "optimizer.pt", weights_only=True)["state"].values()
    assert {tuple(moment["exp_avg"].shape) for moment in moments} <= {tuple(tensor.shape) for tensor in held.values()}
    distill(recipe, resume=True, reporter=QUIET)
    weights = [(tmp_path / name / "student" / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]


def test_a_run_that_is_cut_in_its_second_phase_goes_on_the_same(words: Path, cache: Path, tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch):
    """Maps need eager attention; what comes after them must not depend on whether they were asked for before."""
    distill(make(words, cache, tmp_path / "whole", "tinybert"), reporter=QUIET)
    recipe = make(words, cache, tmp_path / "cut", "tinybert")
    train, phases = trainer_module.DistillationTrainer.train, []

    def second_never_starts(self: object, **arguments: object) -> object:
        phases.append(self)
        if len(phases) == 2:
            raise KeyboardInterrupt
        return train(self, **arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trainer_module.DistillationTrainer, "train", second_never_starts)
        distill(recipe, reporter=QUIET)
    assert distill(recipe, resume=True, reporter=QUIET)["teacher_rows_live"] == 0  # the first phase was finished
    weights = [(tmp_path / name / "student" / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(("method", "changes", "text"), [
    ("tinybert", {"student": "cnn"}, "method 'tinybert': expected a student with attention maps, got adapter 'cnn'. "),
    ("sid", {"teacher": "bilstm"}, "method 'sid': expected a teacher with attention maps, got adapter 'bilstm'. "),
    ("pid", {"student": "roberta:layers=1,hidden=8,vocab_size=320"},
     "method 'pid': expected a student that reads the teacher's tokens, got adapter 'roberta' and adapter 'bert' "),
    ("pid", {"assistants": "cnn,bilstm"},
     "method 'pid': expected a teacher with attention maps, got adapter 'bilstm'. "),
    ("pid", {"assistants": "roberta:layers=1,hidden=8,vocab_size=320"},
     "method 'pid': expected a student that reads the teacher's tokens, got adapter 'bert' and adapter 'roberta' "),
    (None, {"phases": [{"name": "a", "terms": [{"term": "token-hidden"}]}], "student": "cnn:vocabulary=words"},
     "phases: expected a student that reads the teacher's tokens, got adapter 'cnn' and adapter 'bert' "),
])
def test_pairs_that_do_not_fit_are_refused_before_the_teacher_is_asked(
        words: Path, tmp_path: Path, method: str | None, changes: dict[str, object], text: str,
        monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(distill_module, "ready_teacher", lambda *_: pytest.fail("the teacher was made ready"))
    recipe = make(words, tmp_path / "cache", tmp_path / "run", method or "logit-kd", **changes)
    with pytest.raises(InputError) as caught:
        distill(recipe, reporter=QUIET)
    assert str(caught.value).startswith(text)
    assert not (tmp_path / "run").exists() and not (tmp_path / "cache" / "teachers").exists()


def test_a_word_model_may_learn_the_tokens_of_its_teacher(words: Path, cache: Path, tmp_path: Path):
    """Token states and embeddings of a CNN that shares the vocabulary; layers and widths differ."""
    terms = [{"term": "token-hidden", "options": {"schedule": "stacked"}}, {"term": "token-embeddings"},
             {"term": "pooled-cosine"}, {"term": "hard-label"}]
    metrics = distill(make(words, cache, tmp_path / "run", "none", student="cnn:vocabulary=teacher,hidden=12,layers=3",
                           phases=[{"name": "a", "terms": terms}], epochs=2), reporter=QUIET)
    assert metrics["method"] == "custom" and metrics["teacher_rows_live"] == 2 * ROWS
