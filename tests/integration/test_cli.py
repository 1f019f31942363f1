"""The other commands, through the command line."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from ukd_core.run.files import whole_folder, write_text

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def trained(news: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run, made by the installed command."""
    run = tmp_path_factory.mktemp("runs") / "cnn"
    done = subprocess.run(
        [sys.executable, "-m", "ukd_core.cli", "distill", "--teacher=cnn", "--student=cnn:layers=1", "--method=none",
         f"--data={news}", f"--output={run}", f"--cache={cache}", "--max-length=16", "--epochs=1", "--device=cpu"],
        capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "teacher by layer: 0." in done.stdout
    assert f"run folder: {run}" in done.stdout
    assert "Traceback" not in done.stderr
    return run


def test_predict_reads_standard_input(ukd: Command, trained: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("oil prices rose\n\nüñí → 漢字 🙂\n"))
    status, out, _ = ukd("predict", trained)
    answers = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [answer["text"] for answer in answers] == ["oil prices rose", "", "üñí → 漢字 🙂"]
    assert all(0.0 < answer["score"] <= 1.0 for answer in answers)


def test_predict_with_nothing_to_answer(ukd: Command, trained: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert ukd("predict", trained)[:2] == (0, "")


def test_predict_pairs(ukd: Command, trained: Path, tmp_path: Path):
    (tmp_path / "pairs.txt").write_text("oil prices\trose\noil prices\n")
    status, out, _ = ukd("predict", trained, tmp_path / "pairs.txt")
    assert status == 0
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["oil prices", "oil prices"]


@pytest.mark.parametrize(("model", "text"), [
    ("runz/cnn/none", "ukd: model 'runz/cnn/none': no such folder"),
    ("cnn", "ukd: model 'cnn': expected existing weights, got an adapter's name. Name a folder or a hub model."),
    ("embedded:minilm", "ukd: model 'embedded:minilm': expected a trained classifier, got an encoder without one."),
    ("embedded:maxilm", "maxilm"),
])
def test_predict_needs_a_classifier(ukd: Command, model: str, text: str):
    status, out, err = ukd("predict", model, "/dev/null")
    assert (status, out) == (2, "")
    assert err.startswith("ukd: ")
    assert text in err


def test_unreadable_texts(ukd: Command, trained: Path, tmp_path: Path):
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    assert "expected readable UTF-8 text" in ukd("predict", trained, tmp_path / "latin.txt")[2]
    assert "no_file" in ukd("predict", trained, tmp_path / "no_file")[2]


def test_eval_names_the_splits_there_are(ukd: Command, trained: Path, news: Path):
    status, out, _ = ukd("eval", trained, "--data", news, "--split", "train")
    assert status == 0
    assert {"model", "split", "rows", "accuracy"} <= set(json.loads(out))
    assert json.loads(out)["rows"] == 160
    status, _, err = ukd("eval", trained, "--data", news, "--split", "test")
    assert status == 2
    assert "expected a split 'test', got train, validation" in err


def test_a_student_is_a_teacher_too(ukd: Command, trained: Path, news: Path, cache: Path, tmp_path: Path):
    status, _, err = ukd("distill", "--teacher", trained, "--student=bilstm:layers=1", "--data", news, "--output",
                           tmp_path / "next", "--cache", cache, "--max-length=16", "--epochs=1", "--device=cpu",
                           "--method=logit-kd")
    assert status == 0, err
    first, second = (json.loads((run / "metrics.json").read_text()) for run in (trained, tmp_path / "next"))
    assert second["teacher"]["metrics"] == first["student"]["metrics"]
    assert second["seconds"]["teacher_finetune"] == 0


def test_a_run_has_a_card_that_hubs_read_and_an_export_beside_it(ukd: Command, trained: Path, cache: Path):
    metrics = json.loads((trained / "metrics.json").read_text())
    card = ModelCard.load(trained / "student" / "README.md")
    assert card.data.pipeline_tag == "text-classification"
    assert {"ukd", "knowledge-distillation", "none"} <= set(card.data.tags)
    found = {(result.dataset_split, result.metric_type): result.metric_value for result in card.data.eval_results}
    scores = metrics["student"]["by_split"]["validation"]
    assert found == {("validation", name): round(value, 4) for name, value in scores.items()}
    assert "seed 0" in card.text and "`acq`" in card.text and str(trained.parent) not in card.text
    status, out, _ = ukd("export", trained, "--format", "hf", "--cache", cache)
    assert status == 0
    assert f"exported as hf: {trained / 'hf'}" in out
    assert "compared with the original on 60 rows (validation): largest difference of scores 0" in out
    assert f"accuracy {scores['accuracy']:.4f} before, {scores['accuracy']:.4f} after" in out


def test_listings(ukd: Command):
    status, out, _ = ukd("plugins")
    assert status == 0
    for name in ("bert", "roberta", "mpnet", "distilbert", "cnn", "bilstm", "attention", "fixed", "teacher-assistant",
                 "hard-label", "logit-kd", "layer-kd", "classes", "linear", "ukd-plugins", "ukd-adapters"):
        assert name in out
    status, out, _ = ukd("methods")
    assert status == 0
    assert "  distil, 75% of the steps: 0.5 logit-kd + 0.5 layer-kd\n  finetune, 25% of the steps: 1 hard-label" in out


def test_help_names_every_command(ukd: Command):
    status, out, _ = ukd("--help")
    assert status == 0
    for command in ("distill", "eval", "predict", "plugins", "methods", "demo"):
        assert command in out


def test_unknown_command_and_option(ukd: Command):
    assert ukd("destill")[0] == 2
    status, _, err = ukd("distill", "--epoch=3")
    assert status == 2
    assert len(err.strip().splitlines()) == 1


def test_folders_and_files_appear_whole(tmp_path: Path):
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "kept") as scratch:
        (scratch / "half").write_text("half")
        raise RuntimeError("stopped")
    assert list(tmp_path.iterdir()) == []
    for text in ("first", "second"):
        with whole_folder(tmp_path / "kept") as scratch:
            (scratch / "file").write_text(text)
    assert (tmp_path / "kept" / "file").read_text() == "first"
    write_text(tmp_path / "note", "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "note"]
