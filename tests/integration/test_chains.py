"""Chains of assistants in whole runs: who teaches whom, what is kept, and that it is trained once."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from stopped import cut_at
from texts import write_jsonl

from ukd_core import LayerSource, Recipe, distill
from ukd_core.errors import InputError, UnknownNameError
from ukd_core.run import assistants as assistants_module
from ukd_core.run.fingerprint import fingerprint
from ukd_core.run.finished import Ending
from ukd_core.run.phases import Training
from ukd_core.run.progress import Reporter
from ukd_core.testing import oracles

QUIET = Reporter(quiet=True)
TEACHER = "bert:layers=2,hidden=32"
STUDENT = "bilstm:layers=1,hidden=16"
Command = Callable[..., tuple[int, str, str]]


def make(news: Path, cache: Path, output: Path, **changes: object) -> Recipe:
    return Recipe.make({"teacher": TEACHER, "student": STUDENT, "data": str(news), "output": str(output), "epochs": 2,
                        "cache": str(cache), "max_length": 24, "teacher_epochs": 3, "device": "cpu", "method": "takd",
                        **changes})


def kept_in(cache: Path) -> dict[str, bytes]:
    return {path.relative_to(cache).as_posix(): path.read_bytes() for path in (cache / "assistants").rglob("*")
            if path.is_file() and path.suffix != ".lock"}


def lessons(monkeypatch: pytest.MonkeyPatch) -> list[Training]:
    """What assistants are trained with from here on."""
    given, train = [], assistants_module.train_phases

    def watched(training: Training, phases: object) -> list[Ending]:
        given.append(training)
        return train(training, phases)  # type: ignore[arg-type]

    monkeypatch.setattr(assistants_module, "train_phases", watched)
    return given


def test_teacher_assistant_student(news: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """By its plain name; another seed trains no assistant and asks nobody again."""
    cache, given = tmp_path / "cache", lessons(monkeypatch)
    first = distill(make(news, cache, tmp_path / "1"), reporter=QUIET)
    before = kept_in(cache)
    second = distill(make(news, cache, tmp_path / "2", seed=5), reporter=QUIET)
    (link,) = first["assistants"]
    assert (link["name"], link["layers"]) == ("bert:layers=1,init=teacher-lower", 1)
    assert first["student"]["parameters"] != link["parameters"] < first["teacher"]["parameters"]
    assert set(link["metrics"]) == set(first["teacher"]["metrics"]) and "accuracy" in link["metrics"]
    assert first["teacher_rows_forwarded"] == 2 * 220  # teacher and assistant, each row once
    assert first["seconds"]["assistants"] > 0
    assert len(given) == 1 and kept_in(cache) == before
    assert (second["teacher_rows_forwarded"], second["seconds"]["assistants"]) == (0, 0.0)
    assert second["assistants"] == first["assistants"] and second["teacher"] == first["teacher"]
    weights = [(tmp_path / run / "student" / "model.safetensors").read_bytes() for run in "12"]
    assert weights[0] != weights[1]


def test_each_is_taught_by_the_one_before(news: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    given, student = lessons(monkeypatch), []
    train = assistants_module.train_phases
    monkeypatch.setattr("ukd_core.run.distill.train_phases",
                        lambda training, phases: student.append(training) or train(training, phases))
    told = "cnn:layers=1,hidden=12,cnn:layers=1,hidden=8"
    metrics = distill(make(news, cache, tmp_path / "run", method="universal-kd", assistants=told, seed=3,
                           learning_rate=2e-3), reporter=QUIET)
    assert [link["name"] for link in metrics["assistants"]] == ["cnn:layers=1,hidden=12", "cnn:layers=1,hidden=8"]
    assert [training.source.name for training in given] == ["cnn", "cnn", "bilstm"]
    assert [training.recipe.seed for training in given] == [0, 0, 3]
    assert [training.recipe.learning_rate for training in given] == [None, None, 2e-3]
    for taught, learner in pairwise(given):  # the answers that the next one sees are of this one
        assert_answers_are_of(taught.source, learner)
    stored = load_file(tmp_path / "run" / "answers.safetensors")
    assert torch.equal(stored["validation.teacher"], given[0].answers.scores("validation").whole()[:, -1])


def assert_answers_are_of(source: LayerSource, learner: Training) -> None:
    texts = learner.data.splits["validation"]["text"][:4]
    with torch.no_grad():
        logits = source.eval()(source.pad(source.tokenize(texts, max_length=24))).logits
    torch.testing.assert_close(learner.answers.scores("validation").whole()[:4, -1], logits, atol=1e-4, rtol=1e-4)


def test_a_student_starts_the_same_with_and_without_assistants(news: Path, cache: Path, tmp_path: Path,
                                                               monkeypatch: pytest.MonkeyPatch):
    starts = []
    monkeypatch.setattr("ukd_core.run.distill.rehearse", lambda training, phases: starts.append(fingerprint(
        {name: weight.sum().item() for name, weight in training.source.model.state_dict().items()})))
    for name, told in (("with", "cnn:layers=1,hidden=8"), ("without", "")):
        distill(make(news, cache, tmp_path / name, student="bert:layers=1,init=teacher-lower", assistants=told,
                     method="none", epochs=1), reporter=QUIET)
    assert starts[0] == starts[1]


def test_an_interrupted_assistant_goes_on_to_the_same_bytes(news: Path, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch):
    told = {"teacher": "cnn:layers=2,hidden=16", "epochs": 4}
    distill(make(news, tmp_path / "whole", tmp_path / "1", **told), reporter=QUIET)
    cut_at(12, make(news, tmp_path / "cut", tmp_path / "2", **told), monkeypatch, folder="assistants")
    (work,) = (path for path in (tmp_path / "cut" / "assistants").iterdir() if path.is_dir())
    assert work.suffix == ".work" and not (tmp_path / "2").exists()
    distill(make(news, tmp_path / "cut", tmp_path / "2", **told), reporter=QUIET)
    assert kept_in(tmp_path / "cut") == kept_in(tmp_path / "whole")
    assert not work.exists()


def test_from_the_command_line(ukd: Command, news: Path, cache: Path, tmp_path: Path):
    status, out, err = ukd("distill", "--teacher", "cnn:layers=1,hidden=16", "--student", "cnn:layers=1,hidden=8",
                           "--assistants", "bilstm:layers=1,hidden=8,cnn:layers=1,hidden=12", "--data", news,
                           "--output", tmp_path / "run", "--cache", cache, "--max-length", 24, "--epochs", 1,
                           "--teacher-epochs", 1, "--method", "logit-kd", "--device", "cpu")
    assert status == 0, err
    table = [line.split()[:2] for line in out.splitlines()]
    assert ["assistant", "bilstm:layers=1,hidden=8"] in table and ["assistant", "cnn:layers=1,hidden=12"] in table
    assert "assistant 2 of 2: learning from 'bilstm:layers=1,hidden=8'" in err
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert [link["layers"] for link in metrics["assistants"]] == [1, 1]
    status, out, _ = ukd("cache", "list", "--cache", cache)
    assert status == 0 and "weights that a teacher taught" in " ".join(out.split())


PAIR = "cnn:layers=1,hidden=12,cnn:layers=1,hidden=8"


def test_an_ensemble_teaches_by_a_mixture_that_no_member_beats(news: Path, tmp_path: Path,
                                                               monkeypatch: pytest.MonkeyPatch):
    cache, given, student = tmp_path / "cache", lessons(monkeypatch), []
    train = assistants_module.train_phases
    monkeypatch.setattr("ukd_core.run.distill.train_phases",
                        lambda training, phases: student.append(training) or train(training, phases))
    told = {"assistants": PAIR, "assistant_use": "ensemble", "method": "logit-kd", "teacher": "cnn:layers=2,hidden=16"}
    metrics = distill(make(news, cache, tmp_path / "1", **told), reporter=QUIET)
    first, second, _ = given
    assert first.answers is second.answers  # both learn from the teacher
    scores = student[0].answers.scores("validation").whole().double().numpy()
    for place, member in enumerate((first, second)):
        texts = first.data.splits["validation"]["text"][:]
        with torch.no_grad():
            logits = member.source.eval()(member.source.pad(member.source.tokenize(texts, max_length=24))).logits
        np.testing.assert_allclose(scores[:, place], logits.numpy(), atol=1e-4)
    weights = np.array(metrics["assistant_weights"])
    assert (weights >= 0).all() and weights.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(scores[:, 2], np.tensordot(scores[:, :2], weights, axes=([1], [0])), atol=1e-5)
    labels = first.data.labels("validation").numpy()
    losses = [np.mean([oracles.cross_entropy(row, label) for row, label in zip(part, labels, strict=True)])
              for part in (scores[:, 0], scores[:, 1], scores[:, :2].mean(axis=1), scores[:, 2])]
    assert losses[3] <= min(losses[:3]) + 1e-6
    again = distill(make(news, cache, tmp_path / "2", seed=1, **told), reporter=QUIET)
    assert again["assistant_weights"] == metrics["assistant_weights"] and again["teacher_rows_forwarded"] == 0


def test_a_damaged_mixture_is_refused_or_rebuilt(news: Path, cache: Path, tmp_path: Path):
    told = {"assistants": PAIR, "assistant_use": "ensemble", "method": "logit-kd", "epochs": 1, "head_l2": 3.0,
            "teacher": "cnn:layers=1,hidden=16"}
    before = set((cache / "answers").glob("*/manifest.json"))
    distill(make(news, cache, tmp_path / "1", **told), reporter=QUIET)
    made = {path.parent for path in set((cache / "answers").glob("*/manifest.json")) - before}
    (mixture,) = (entry for entry in made if "weights" in json.loads((entry / "manifest.json").read_text())["about"])
    whole = (mixture / "train.npy").read_bytes()
    (mixture / "train.npy").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(InputError, match="do not have the checksum with which they were written"):
        distill(make(news, cache, tmp_path / "2", **told), reporter=QUIET)
    distill(make(news, cache, tmp_path / "2", rebuild_damaged=True, **told), reporter=QUIET)
    assert (mixture / "train.npy").read_bytes() == whole


@pytest.mark.parametrize(("changes", "problem"), [
    ({"method": "logit-kd"}, "expected assistants, got none. Name them with --assistants A,B,..."),
    ({"method": "pkd", "assistants": PAIR}, "expected a method that learns from scores, got one that needs the "
                                            "teacher's hidden states. Use --assistant-use chain."),
])
def test_what_is_no_ensemble_is_refused_before_anything_is_trained(news: Path, tmp_path: Path,
                                                                   changes: dict[str, str], problem: str):
    with pytest.raises(InputError) as refused:
        distill(make(news, tmp_path / "cache", tmp_path / "run", assistant_use="ensemble", **changes), reporter=QUIET)
    assert str(refused.value) == f"assistant-use 'ensemble': {problem}"
    assert not (tmp_path / "run").exists() and not (tmp_path / "cache" / "teachers").exists()


def test_an_ensemble_without_labels_is_refused(news: Path, cache: Path, tmp_path: Path):
    distill(make(news, cache, tmp_path / "teacher", method="none", student="cnn:layers=1,hidden=8", epochs=1,
                 teacher="cnn:layers=1,hidden=16"), reporter=QUIET)
    texts = [{"text": json.loads(line)["text"]} for line in (news / "train.jsonl").read_text().splitlines()]
    write_jsonl(tmp_path / "texts.jsonl", texts)
    with pytest.raises(InputError) as refused:
        distill(make(tmp_path / "texts.jsonl", cache, tmp_path / "run", teacher=str(tmp_path / "teacher"),
                     assistant_use="ensemble", assistants=PAIR), reporter=QUIET)
    assert str(refused.value) == ("assistant-use 'ensemble': expected labelled validation or training rows to weigh "
                                  "assistants by, got none. Use --assistant-use chain.")


@pytest.mark.parametrize(("told", "kind", "problem"), [
    ("cnnn", UnknownNameError, "assistant 'cnnn': no adapter of this name and no such folder. Did you mean 'cnn'"),
    ("cnn:layer=2", InputError, "assistant 'cnn:layer=2': no option 'layer'. Did you mean 'layers'"),
])
def test_a_wrong_assistant_is_refused_before_anything_is_trained(news: Path, tmp_path: Path, told: str,
                                                                 kind: type[Exception], problem: str):
    with pytest.raises(kind) as refused:
        distill(make(news, tmp_path / "cache", tmp_path / "run", assistants=told), reporter=QUIET)
    assert str(refused.value).startswith(problem)
    assert not (tmp_path / "run").exists() and not (tmp_path / "cache" / "teachers").exists()


@pytest.mark.parametrize("projector", ["label-confidence", "ensemble"])
def test_weights_from_labelled_rows_reach_the_terms(projector: str, news: Path, cache: Path, tmp_path: Path):
    metrics = distill(make(news, cache, tmp_path / "run", method="universal-kd", projector=projector), reporter=QUIET)
    assert metrics["student"]["metrics"]
    phases = [{"name": "hidden", "terms": [{"term": "hidden", "options": {"projector": projector}}]}]
    with pytest.raises(InputError) as refused:
        distill(make(news, cache, tmp_path / "hidden", phases=phases), reporter=QUIET)
    assert str(refused.value).startswith(f"projector '{projector}': expected scores of labelled rows to weigh")
    assert not (tmp_path / "hidden").exists()
