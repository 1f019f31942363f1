"""A stored classifier at work, through the commands that use it: its answers, its scores, and what is refused."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ukd_core import BuildContext
from ukd_core.plugins import Registry, load_registry
from ukd_core.run.answer import load_classifier

Command = Callable[..., tuple[int, str, str]]
TEXTS = ["oil prices rose", "wheat harvest", "oil", "a good harvest"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of two classes, with random weights."""
    registry, folder = load_registry(), tmp_path_factory.mktemp("model")
    kind, space = registry.layer_sources.lookup("cnn"), registry.output_spaces.lookup("classes")(["crude", "grain"])
    torch.manual_seed(0)
    kind.build(kind.Options(layers=1, hidden=8), BuildContext(space, TEXTS, None, 16, 0)).save(folder)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four training rows with labels, two test rows without."""
    (tmp_path / "data").mkdir()
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, ["crude", "grain"] * 2, strict=True)]
    (tmp_path / "data" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "data" / "test.jsonl").write_text('{"text": "oil"}\n{"text": "gas"}\n')
    return tmp_path / "data"


def refusal(answer: tuple[int, str, str]) -> str:
    status, out, err = answer
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    return err.removesuffix("\n")


def test_predict_answers_a_file_of_texts_and_pairs(ukd: Command, model: Path, tmp_path: Path):
    (tmp_path / "texts.txt").write_bytes("\ufeffoil prices\trose\r\n漢字 🙂\n".encode())
    status, out, err = ukd("predict", model, tmp_path / "texts.txt")
    answers = [json.loads(line) for line in out.splitlines()]
    assert (status, err) == (0, "")
    assert [answer["text"] for answer in answers] == ["oil prices", "漢字 🙂"]
    assert all(answer["label"] in ("crude", "grain") and 0.5 <= answer["score"] <= 1 for answer in answers)


def test_predict_reads_standard_input(ukd: Command, model: Path, monkeypatch: pytest.MonkeyPatch):
    for text, count in (("oil\n\n", 2), ("", 0)):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        status, out, _ = ukd("predict", model)
        assert (status, len(out.splitlines())) == (0, count)


def test_texts_that_cannot_be_read(ukd: Command, model: Path, tmp_path: Path):
    path = tmp_path / "texts.txt"
    assert refusal(ukd("predict", model, path)) == (
        f"ukd: file '{path}': expected readable UTF-8 text, got [Errno 2] No such file or directory: '{path}'.")
    path.write_bytes(b"caf\xe9\n")
    assert refusal(ukd("predict", model, path)) == (
        f"ukd: file '{path}': expected readable UTF-8 text, got 'utf-8' codec can't decode byte 0xe9 in position 3: "
        "invalid continuation byte.")


def test_eval_takes_the_split_that_it_is_told(ukd: Command, model: Path, data: Path, tmp_path: Path):
    status, out, err = ukd("eval", model, "--data", data, "--split", "train", "--cache", tmp_path, "--text-columns",
                           "text", "--label-column", "label")
    told = json.loads(out)
    assert (status, err, told["split"], told["rows"]) == (0, "", "train", 4)
    assert 0 <= told["accuracy"] <= 1


def test_eval_takes_the_test_split_where_there_is_no_validation(ukd: Command, model: Path, data: Path, tmp_path: Path):
    assert refusal(ukd("eval", model, "--data", data, "--cache", tmp_path)) == (
        f"ukd: data '{data}': no row of split 'test' has a label. Name the label column.")
    assert refusal(ukd("eval", model, "--data", data, "--cache", tmp_path, "--split", "validation")) == (
        f"ukd: data '{data}': expected a split 'validation', got train, test.")


def test_an_encoder_is_no_classifier(ukd: Command, model: Path, tmp_path: Path):
    folder = tmp_path / "encoder"
    folder.mkdir()
    for path in model.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["CnnModel"]}))
    assert refusal(ukd("predict", folder, "/dev/null")) == (
        f"ukd: model '{folder}': expected a trained classifier, got an encoder without one. "
        "Use ukd distill to make it a teacher.")


def test_a_kind_of_scores_that_nobody_registers(ukd: Command, model: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("UKD_DISABLE_PLUGINS", "ukd-plugins")
    assert refusal(ukd("predict", model, "/dev/null")) == (
        f"ukd: model '{model}': no output space for problem_type 'single_label_classification'.")


def test_the_meaning_of_scores_is_the_stored_one(registry: Registry, model: Path, tmp_path: Path):
    source, space = load_classifier(str(model), registry, tmp_path)
    assert (space.name, space.labels, source.training) == ("classes", ("crude", "grain"), False)


def test_a_cache_that_is_no_folder_is_named_not_the_data(ukd: Command, model: Path, data: Path, tmp_path: Path):
    (tmp_path / "file").write_text("x")
    assert refusal(ukd("eval", model, "--data", data, "--cache", tmp_path / "file")) == (
        f"ukd: cache '{tmp_path / 'file'}': the folder cannot be made: File exists. Name another with --cache.")
