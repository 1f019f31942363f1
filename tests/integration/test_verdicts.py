"""Whole runs with a baseline and alternatives: what is measured, what is compared, and how it goes on after a stop."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from stopped import cut_at
from texts import write_jsonl

from ukd_core import Recipe, distill
from ukd_core.errors import InputError
from ukd_core.run import trainer as trainer_module
from ukd_core.run.progress import Reporter
from ukd_core.run.verdict import Verdict, verdict_of

Command = Callable[..., tuple[int, str, str]]
QUIET = Reporter(quiet=True)


def rows(count: int, labelled: bool = True) -> list[dict[str, object]]:
    words = ("oil", "crude", "corn", "wheat", "ship", "rose", "fell")
    texts = [f"{words[number % 4]} {words[4 + number % 3]} {number}" for number in range(count)]
    return [{"text": text, "label": ("fuel" if text.startswith(("oil", "crude")) else "food") if labelled else None}
            for text in texts]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_jsonl(folder / "train.jsonl", rows(96))
    write_jsonl(folder / "validation.jsonl", rows(40))
    return folder


def made(place: Path, output: Path, **changes: Any) -> Recipe:
    return Recipe.make({"teacher": "cnn:layers=2,hidden=8", "student": "cnn:layers=1,hidden=8", "data": str(place),
                        "output": str(output), "cache": str(place / "cache"), "max_length": 8, "epochs": 2,
                        "teacher_epochs": 2, "device": "cpu", "method": "logit-kd", "temperature": 2.0, **changes})


@pytest.fixture(scope="module")
def judged(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its baseline."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    distill(made(data, folder), reporter=QUIET, baseline=True)
    return folder


@pytest.fixture
def kept_teacher(data: Path, judged: Path) -> Path:
    """The fine-tuned teacher of that run, as the cache keeps it."""
    return next((data / "cache" / "teachers").glob("*/config.json")).parent


def weights(folder: Path) -> bytes:
    return (folder / "student" / "model.safetensors").read_bytes()


def test_a_run_measures_its_models(judged: Path):
    metrics = json.loads((judged / "metrics.json").read_text())
    for side in ("teacher", "student"):
        speed = metrics["speed"][side]
        assert 0 < speed["p50_ms"] <= speed["p95_ms"] and speed["per_second"] > 0
        assert (speed["threads"], speed["device"]) == (1, "cpu")
    assert "speed_cuda" not in metrics
    stored = sum(path.stat().st_size for path in (judged / "student").iterdir() if path.name != "README.md")
    assert metrics["student"]["bytes"] == stored
    assert metrics["teacher"]["bytes"] > 4 * metrics["teacher"]["parameters"]
    baseline = json.loads((judged / "baseline" / "metrics.json").read_text())
    assert "speed" not in baseline  # it is the same student


def test_the_baseline_is_the_run_that_none_makes(data: Path, judged: Path, tmp_path: Path):
    metrics = distill(made(data, tmp_path / "none", method="none", temperature=None), reporter=QUIET, speed=False)
    assert "speed" not in metrics
    assert weights(judged / "baseline") == weights(tmp_path / "none")
    assert weights(judged / "baseline") != weights(judged)
    steps = [max(json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines())
             for folder in (judged, judged / "baseline")]
    assert steps[0] == steps[1]
    found = verdict_of(judged)
    answers = [load_file(folder / "answers.safetensors") for folder in (judged, judged / "baseline")]
    right = [(side["validation.student"].argmax(-1) == side["validation.labels"]).double().mean().item()
             for side in answers]
    assert found.difference.mean == pytest.approx(right[0] - right[1])
    assert found.outcome in ("helped", "did not help", "hurt")


def stop_at(step: int, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop a run with a baseline while the baseline is trained."""
    advance = trainer_module.ProgressBar.on_step_end

    def stop(self: object, args: Any, state: Any, control: object, **rest: object) -> None:
        advance(self, args, state, control, **rest)  # type: ignore[arg-type]
        if state.global_step == step and "baseline" in args.output_dir:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trainer_module.ProgressBar, "on_step_end", stop)
        distill(recipe, reporter=QUIET, baseline=True)


def test_a_stopped_run_goes_on_with_its_baseline(ukd: Command, data: Path, judged: Path, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch):
    early, late = made(data, tmp_path / "early"), made(data, tmp_path / "late")
    cut_at(4, early, monkeypatch)
    distill(early, resume=True, reporter=QUIET, baseline=True)
    stop_at(4, late, monkeypatch)
    assert (tmp_path / "late" / "metrics.json").is_file()
    assert not (tmp_path / "late" / "baseline" / "metrics.json").exists()
    # The baseline that was begun is finished without being asked for again.
    status, out, err = ukd("distill", "--resume", "--output", tmp_path / "late", "--no-speed")
    assert status == 0, err
    assert "baseline: the same student, trained on labels alone" in err
    assert "Distillation " in out
    for run in (tmp_path / "early", tmp_path / "late"):
        assert weights(run) == weights(judged)
        assert weights(run / "baseline") == weights(judged / "baseline")
        assert verdict_of(run).difference == verdict_of(judged).difference


def test_a_baseline_that_means_nothing_is_refused_before_anything_is_written(data: Path, kept_teacher: Path,
                                                                             tmp_path: Path):
    write_jsonl(tmp_path / "texts.jsonl", rows(20, labelled=False))
    for changes, text in (
            ({"method": "none", "temperature": None},
             "option 'with_baseline': expected a method that distils, got 'none', which is the baseline itself. "
             "Leave the option out, or choose a method."),
            ({"data": str(tmp_path / "texts.jsonl"), "teacher": str(kept_teacher)},
             "option 'with_baseline': expected labelled training rows, got none. Leave the option out: without labels "
             "there is nothing to compare with.")):
        with pytest.raises(InputError) as error:
            distill(made(data, tmp_path / "run", **changes), reporter=QUIET, baseline=True)
        assert str(error.value) == text
    assert not (tmp_path / "run").exists()


def test_alternatives_are_rows_of_the_verdict(ukd: Command, judged: Path):
    for names in ("fasttext", "tfidf,model2vec"):  # those that were tried before stay
        status, out, err = ukd("verdict", judged, "--alternatives", names)
        assert status == 0, err
        assert err.count("fitting it to 96 labelled rows") == len(names.split(","))
    found = Verdict.read(json.loads((judged / "verdict.json").read_text()))
    assert [model.name for model in found.alternatives] == ["fastText", "TF-IDF + logistic regression",
                                                            "model2vec + logistic regression"]
    for model in found.alternatives:
        assert model.quality is not None and model.over is not None and model.speed is not None
        assert model.quality.low <= model.quality.mean <= model.quality.high
        assert model.over.mean == pytest.approx(found.student.quality.mean - model.quality.mean)
        assert model.bytes > 0 and model.fit_seconds > 0 and 0.0 <= model.ece <= 1.0
        assert model.name in out
    tfidf = found.alternatives[1]
    assert tfidf.quality.mean == 1.0  # the first word decides
    assert tfidf.agreement == pytest.approx(found.teacher.quality.mean)
    loses = found.student.quality.mean < 1.0 and tfidf.over.high < 0.0
    assert ("The student LOSES to TF-IDF + logistic regression" in out) == loses


def test_alternatives_want_the_data_of_the_run(ukd: Command, data: Path, tmp_path: Path):
    own = tmp_path / "data"
    own.mkdir()
    for name in ("train", "validation"):
        (own / f"{name}.jsonl").write_bytes((data / f"{name}.jsonl").read_bytes())
    run = tmp_path / "run"
    status, out, err = ukd("distill", "--teacher=cnn:layers=1,hidden=4", "--student=cnn:layers=1,hidden=4",
                           f"--data={own}", f"--output={run}", f"--cache={tmp_path / 'cache'}", "--max-length=8",
                           "--epochs=1", "--teacher-epochs=1", "--device=cpu", "--method=logit-kd", "--no-speed",
                           "--alternatives=tfidf")
    assert status == 0, err
    assert "cannot tell without --with-baseline" in out and "TF-IDF + logistic regression" in out
    assert (run / "verdict.json").is_file() and (run / "alternatives.json").is_file()
    write_jsonl(own / "validation.jsonl", rows(40)[::-1])
    assert ukd("verdict", run, "--alternatives", "tfidf") == (
        2, "", f"ukd: run '{run}': its data '{own}' have other validation rows than when it was made. Run it again "
               "with --overwrite.\n")


def test_alternatives_without_labels_say_why(ukd: Command, data: Path, kept_teacher: Path, tmp_path: Path):
    write_jsonl(tmp_path / "texts.jsonl", rows(20, labelled=False))
    recipe = made(data, tmp_path / "run", data=str(tmp_path / "texts.jsonl"), teacher=str(kept_teacher))
    distill(recipe, reporter=QUIET, speed=False)
    status, out, err = ukd("verdict", tmp_path / "run", "--alternatives", "tfidf")
    assert status == 0, err
    assert "TF-IDF + logistic regression: not tried, no training row has a label." in out


def test_several_labels_and_pairs(ukd: Command, tmp_path: Path):
    words = ("oil", "corn", "ship")
    table = [{"text1": words[number % 3], "text2": f"{words[number % 2]} {number}",
              "label": sorted({words[number % 3], words[number % 2]})} for number in range(60)]
    (tmp_path / "data").mkdir()
    write_jsonl(tmp_path / "data" / "train.jsonl", table[:44])
    write_jsonl(tmp_path / "data" / "test.jsonl", table[44:])
    recipe = made(tmp_path, tmp_path / "run", data=str(tmp_path / "data"), output_space="multilabel", epochs=1,
                  validation_fraction=0.2)
    distill(recipe, reporter=QUIET)
    status, out, err = ukd("verdict", tmp_path / "run", "--alternatives", "tfidf,fasttext")
    assert status == 0, err
    found = verdict_of(tmp_path / "run")
    assert (found.split, found.labelled_rows, found.metric) == ("test", 16, "f1_macro")
    answers = load_file(tmp_path / "run" / "answers.safetensors")
    given = answers["test.student"].double()
    lost = torch.nn.functional.binary_cross_entropy_with_logits(given, answers["test.labels"].double(),
                                                                reduction="none").sum(dim=1)
    assert found.student.nll == pytest.approx(lost.mean().item())
    same = np.asarray((answers["test.student"] > 0) == (answers["test.teacher"] > 0))
    assert found.student.agreement == pytest.approx(same.mean())
    assert found.alternatives[0].quality.mean > 0.9
    assert "fastText: not tried, fastText answers with one of several classes, and this task is another." in out
