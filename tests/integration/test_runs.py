"""Whole runs on real text: what is written, what is reused, what is left unchanged."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch
from stopped import cut_at
from texts import write_jsonl
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
from ukd_plugins.plugin import ukd_register_methods

from ukd_adapters.bilstm import BiLSTMLayerSource
from ukd_core import Batch, LayerStates, Recipe, distill
from ukd_core.errors import InputError, UKDError
from ukd_core.run import distill as distill_module
from ukd_core.run import phases as phases_module
from ukd_core.run import teacher as teacher_module
from ukd_core.run import trainer as trainer_module
from ukd_core.run.fingerprint import hash_weights
from ukd_core.run.preflight import preflight
from ukd_core.run.progress import Reporter

QUIET = Reporter(quiet=True)
Command = Callable[..., tuple[int, str, str]]


def make(news: Path, cache: Path, output: Path, **changes: object) -> Recipe:
    return Recipe.make({"teacher": "cnn", "student": "bilstm", "data": str(news), "output": str(output),
                        "cache": str(cache), "max_length": 32, "epochs": 2, "teacher_epochs": 2, "device": "cpu",
                        **changes})


@pytest.mark.parametrize("method", ["none", "logit-kd", "universal-kd"])
def test_the_preflight_counts_what_is_read_beside_the_steps(news: Path, cache: Path, tmp_path: Path, method: str,
                                                            monkeypatch: pytest.MonkeyPatch):
    recipe = make(news, cache, tmp_path / "run", method=method)
    found = preflight(recipe)
    assert found.trial is not None and not found.errors
    read: list[int] = []
    forward, train = BiLSTMLayerSource.forward, distill_module.train_phases

    def counted(source: BiLSTMLayerSource, batch: Batch, *rest: Any) -> LayerStates:
        read.append(0 if source.training else len(batch["input_ids"]))
        return forward(source, batch, *rest)

    def trained(*given: Any) -> Any:
        read.clear()  # what came before were trials
        endings = train(*given)
        read.append(-sum(read))
        return endings

    monkeypatch.setattr(BiLSTMLayerSource, "forward", counted)
    monkeypatch.setattr(distill_module, "train_phases", trained)
    distill(recipe, reporter=QUIET, speed=False)
    beside = -next(count for count in read if count < 0)
    assert beside == sum(each.beside for each in found.trial.phases) * recipe.batch_size > 0
    assert all(each.evaluation > 0 for each in found.trial.phases)


def test_run_folder(ukd: Command, news: Path, cache: Path, tmp_path: Path):
    recipe = make(news, cache, tmp_path / "run")
    metrics = distill(recipe, reporter=QUIET)
    run = tmp_path / "run"
    assert sorted(path.name for path in run.iterdir()) == [
        "answers.safetensors", "layers.jsonl", "log.jsonl", "metrics.json", "recipe.yaml", "student"]
    assert json.loads((run / "metrics.json").read_text()) == metrics
    assert Recipe.read(run / "recipe.yaml").written() == recipe.written()
    assert metrics["method"] == "universal-kd"
    assert metrics["seed"] == 0
    for side in ("teacher", "student"):
        assert set(metrics[side]) >= {"name", "layers", "parameters", "metrics"}
        assert set(metrics[side]["metrics"]) >= {"accuracy"}
    assert set(metrics["seconds"]) == {"teacher_finetune", "teacher_pass", "heads", "train", "eval"}
    model = AutoModelForSequenceClassification.from_pretrained(run / "student")
    weights = model.state_dict()
    assert not [name for name in weights if "term" in name or "teacher" in name or "pseudo" in name]
    assert sum(p.numel() for p in model.parameters()) == metrics["student"]["parameters"]
    assert set(model.config.id2label.values()) == {"acq", "crude", "earn", "trade"}
    story = json.loads((news / "validation.jsonl").read_text().splitlines()[0])["text"]
    answer = pipeline("text-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(run / "student"))(
        story, truncation=True)
    status, out, err = ukd("eval", run, "--data", news, "--cache", cache)
    assert status == 0, err
    assert json.loads(out)["accuracy"] == metrics["student"]["metrics"]["accuracy"]
    (tmp_path / "texts.txt").write_text(story + "\n\n")
    status, out, err = ukd("predict", run, tmp_path / "texts.txt", "--cache", cache)
    assert status == 0, err
    told = [json.loads(line) for line in out.splitlines()]
    assert [row["text"] for row in told] == [story, ""]
    assert told[0]["label"] == answer[0]["label"]
    assert told[0]["score"] == pytest.approx(answer[0]["score"], abs=1e-5)


def test_same_recipe_same_bytes(news: Path, cache: Path, tmp_path: Path):
    for name in ("a", "b"):
        distill(make(news, cache, tmp_path / name), reporter=QUIET)
    weights = [(tmp_path / name / "student" / "model.safetensors").read_bytes() for name in ("a", "b")]
    assert weights[0] == weights[1]


def test_teacher_runs_once_and_stays_as_it_is(news: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """220 rows for the first run, none for another student, method and seed; weights and hooks untouched."""
    cache = tmp_path / "cache"
    seen = []
    ready = teacher_module.ready_teacher

    def watched(*arguments: object) -> teacher_module.Teacher:
        teacher = ready(*arguments)  # type: ignore[arg-type]
        seen.append((teacher.source, hash_weights(teacher.source.state_dict())))
        return teacher

    monkeypatch.setattr("ukd_core.run.distill.ready_teacher", watched)
    first = distill(make(news, cache, tmp_path / "1", student="bert:layers=1", epochs=3), reporter=QUIET)
    second = distill(make(news, cache, tmp_path / "2", student="cnn", method="logit-kd", seed=5), reporter=QUIET)
    assert first["teacher_rows_forwarded"] == 220
    assert second["teacher_rows_forwarded"] == 0
    assert first["seconds"]["teacher_finetune"] > 0 == second["seconds"]["teacher_finetune"]
    assert first["teacher"] == second["teacher"]
    assert first["layer_accuracy"] == second["layer_accuracy"]
    for source, before in seen:
        assert hash_weights(source.state_dict()) == before
        for module in source.modules():
            assert not module._forward_hooks and not module._forward_pre_hooks and not module._backward_hooks
    assert seen[0][1] == seen[1][1]


def test_bpe_teacher_word_vocabulary_student(news: Path, cache: Path, tmp_path: Path):
    """RoBERTa's byte-level BPE teaches a BiLSTM with a word vocabulary: rows are aligned, tokens never are."""
    metrics = distill(make(news, cache, tmp_path / "run", teacher="roberta:layers=2", student="bilstm:vocabulary=words",
                           teacher_epochs=8, epochs=6), reporter=QUIET)
    student = AutoTokenizer.from_pretrained(tmp_path / "run" / "student")
    teacher = AutoTokenizer.from_pretrained(next((cache / "teachers").glob("*/config.json")).parent)
    assert "company" in student.get_vocab()
    assert student.tokenize("company") == ["company"]
    assert teacher is not student
    assert metrics["student"]["metrics"]["accuracy"] > 0.25  # better than always one of four equal classes


def test_unlabelled_rows_learn_from_the_teacher_alone(news: Path, cache: Path, tmp_path: Path):
    rows = [json.loads(line) for line in (news / "train.jsonl").read_text().splitlines()]
    folder = tmp_path / "data"
    folder.mkdir()
    write_jsonl(folder / "train.jsonl", rows[:40])
    write_jsonl(folder / "unlabelled.jsonl", [{"text": row["text"]} for row in rows[40:]])
    (folder / "validation.jsonl").write_bytes((news / "validation.jsonl").read_bytes())
    metrics = distill(make(folder, cache, tmp_path / "run", student="cnn", method="logit-kd"), reporter=QUIET)
    assert metrics["rows"]["train"] == 160
    assert metrics["teacher_rows_forwarded"] == 220
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert all(torch.isfinite(torch.tensor(entry["loss"])) for entry in log if "loss" in entry)


def test_no_label_at_all_with_a_trained_teacher(news: Path, cache: Path, tmp_path: Path):
    """The phase of hard labels has no rows; the student learns from the teacher's scores alone."""
    distill(make(news, cache, tmp_path / "teacher", student="cnn", method="none"), reporter=QUIET)
    rows = [json.loads(line) for line in (news / "train.jsonl").read_text().splitlines()]
    write_jsonl(tmp_path / "texts.jsonl", [{"text": row["text"]} for row in rows])
    metrics = distill(make(tmp_path / "texts.jsonl", cache, tmp_path / "run", teacher=str(tmp_path / "teacher")),
                      reporter=QUIET)
    assert metrics["labels"] == ["acq", "crude", "earn", "trade"]
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert {entry["phase"] for entry in log} == {"distil"}


def test_probe_teacher_is_the_last_layers_head(news: Path, cache: Path, tmp_path: Path):
    metrics = distill(make(news, cache, tmp_path / "run", teacher="bert:layers=2", teacher_tuning="probe"),
                      reporter=QUIET)
    assert metrics["teacher"]["metrics"]["accuracy"] == metrics["layer_accuracy"][-1]
    assert metrics["seconds"]["teacher_finetune"] == 0


METHODS = [method.name for method in ukd_register_methods()
           if method.name not in ("tinybert", "pid", "sid")]  # they need attention maps: `test_live_runs.py`


@pytest.mark.parametrize("method", METHODS)
def test_every_method_and_all_its_terms_fall(method: str, news: Path, cache: Path, tmp_path: Path):
    metrics = distill(make(news, cache, tmp_path / "run", method=method, epochs=3), reporter=QUIET)
    assert metrics["method"] == method
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    phase, key = log[0]["phase"], "loss" if method != "continuation-kd" else "loss/hard-label"  # its weights change
    losses = [entry[key] for entry in log if entry["phase"] == phase and key in entry]
    if method != "annealing-kd":  # its target grows away from the student
        assert mean(losses[-3:]) < mean(losses[:3])
    assert all(math.isfinite(loss) for loss in losses)


@pytest.mark.parametrize("projector", ["fixed:strategy=uniform", "fixed:strategy=last", "fixed:strategy=skip",
                                       "fixed:pairs=[[0,1]],strategy=pairs", "attention:score=cosine,temperature=0.5"])
def test_projector_by_name(projector: str, news: Path, cache: Path, tmp_path: Path):
    distill(make(news, cache, tmp_path / "run", projector=projector), reporter=QUIET)
    assert Recipe.read(tmp_path / "run" / "recipe.yaml").projector == projector


@pytest.mark.parametrize("labels", [None, 48])
def test_interrupted_run_resumes_to_the_same_bytes(news: Path, cache: Path, tmp_path: Path, labels: int | None,
                                                   monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").write_bytes((news / "train.jsonl").read_bytes())
    changes = {"data": str(tmp_path / "data"), "validation_fraction": 0.0, "batch_size": 16, "epochs": 8,
               "max_labels": labels, "method": "none" if labels else "universal-kd"}
    saved, save = [], trainer_module.DistillationTrainer._save_checkpoint

    def noted(trainer: trainer_module.DistillationTrainer, *given: Any, **rest: Any) -> None:
        saved.append((trainer.state.global_step, trainer.state.max_steps))
        save(trainer, *given, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(trainer_module.DistillationTrainer, "_save_checkpoint", noted)
        distill(make(news, cache, tmp_path / "whole", **changes), reporter=QUIET)
    assert saved == [(51, 80) if labels else (50, 60)]  # what a phase ends with is written anyway
    recipe = make(news, cache, tmp_path / "cut", **changes)
    cut_at(55, recipe, monkeypatch)
    distill(recipe, resume=True, reporter=QUIET)
    for name in ("student/model.safetensors", *([] if labels else ["layers.jsonl"])):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()
    if not labels:
        looks = [json.loads(line)["step"] for line in (tmp_path / "cut" / "layers.jsonl").read_text().splitlines()]
        assert looks == [0, 50, 60]  # before the first step, at checkpoints, at the end of the phase


@pytest.mark.parametrize("rate", [1e-3, 5e-3])
def test_what_terms_own_learns_at_its_own_rate(news: Path, cache: Path, tmp_path: Path, rate: float,
                                               monkeypatch: pytest.MonkeyPatch):
    create, told = trainer_module.DistillationTrainer.create_optimizer, []

    def noted(trainer: trainer_module.DistillationTrainer, *given: Any) -> torch.optim.Optimizer:
        made = create(trainer, *given)
        rates = {id(parameter): (group["lr"], group["weight_decay"]) for group in made.param_groups
                 for parameter in group["params"]}
        told.append((len(made.param_groups), {name: rates[id(parameter)]
                                              for name, parameter in trainer.model.named_parameters()}))
        return made

    monkeypatch.setattr(trainer_module.DistillationTrainer, "create_optimizer", noted)
    distill(make(news, cache, tmp_path / "run", student="cnn", epochs=1, learning_rate=1e-3, weight_decay=0.1,
                 head_learning_rate=rate), reporter=QUIET)
    groups, rates = told[-2]  # the phase with the teacher, before the one with labels
    assert groups == (2 if rate == 1e-3 else 4)
    for name, found in rates.items():
        decays = not name.endswith("bias") and ".norm." not in name
        assert found == (rate if name.startswith("terms.") else 1e-3, 0.1 if decays else 0.0), name
    assert any(name.startswith("terms.") for name in rates)


@pytest.mark.parametrize("moment", ["when its checkpoint is written", "when it is logged"])
def test_a_run_that_was_stopped_after_its_last_step_makes_no_other(news: Path, cache: Path, tmp_path: Path, moment: str,
                                                                   monkeypatch: pytest.MonkeyPatch):
    changes = {"method": "logit-kd", "epochs": 1.4}  # the last of 7 steps is not the last of its pass of 5
    distill(make(news, cache, tmp_path / "whole", **changes), reporter=QUIET)
    recipe = make(news, cache, tmp_path / "cut", **changes)

    def stop(*args: object, **rest: object) -> None:
        if moment == "when it is logged" or args[2].global_step == 7:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        if moment == "when it is logged":
            patch.setattr(phases_module, "finish_phase", stop)
        else:
            patch.setattr(trainer_module.JsonLog, "on_save", stop)
        distill(recipe, reporter=QUIET)
    distill(recipe, resume=True, reporter=QUIET)
    folders = [tmp_path / name for name in ("whole", "cut")]
    weights = [(folder / "student" / "model.safetensors").read_bytes() for folder in folders]
    assert weights[0] == weights[1]
    logs = [[json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()] for folder in folders]
    steps = [[(line["step"], "loss" in line, "train_runtime" in line) for line in log] for log in logs]
    assert steps[0] == steps[1]


def test_a_half_written_checkpoint_is_passed_over(news: Path, cache: Path, tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch):
    recipe = make(news, cache, tmp_path / "run", epochs=4, method="logit-kd")
    cut_at(12, recipe, monkeypatch)
    newest = max((tmp_path / "run" / "checkpoints").rglob("checkpoint-*"), key=lambda path: int(path.name[11:]))
    assert newest.name == "checkpoint-10"
    (newest / "trainer_state.json").write_text('{"global_')
    assert distill(recipe, resume=True, reporter=QUIET)["student"]["metrics"]


def test_resume_refuses_other_rows(news: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = tmp_path / "data"
    data.mkdir()
    for name in ("train.jsonl", "validation.jsonl"):
        (data / name).write_bytes((news / name).read_bytes())
    recipe = make(data, cache, tmp_path / "run", epochs=4, method="none")
    cut_at(7, recipe, monkeypatch)
    lines = (data / "train.jsonl").read_text().splitlines()
    (data / "train.jsonl").write_text("\n".join(reversed(lines)) + "\n")
    with pytest.raises(InputError, match="the data or the teacher's answers changed since the run was stopped"):
        distill(recipe, resume=True, reporter=QUIET)


@pytest.mark.parametrize(("phases", "text"), [
    ([{"name": "a", "share": 0.6, "terms": [{"term": "hard-label"}]}], "expected shares that sum to 1, got 0.6"),
    ([{"name": "a", "terms": [{"term": "hard-label"}, {"term": "hard-label"}]}], "each once, got 'hard-label'"),
    ([{"name": "a", "terms": [{"term": "hard-label", "label": "x.y"}]}], "without dots for each term"),
    ([{"name": "a", "terms": [{"term": "hard-labl"}]}], "Did you mean 'hard-label'"),
    ([{"name": "a", "terms": [{"term": "logit-kd", "options": {"temprature": 2}}]}], "no option 'temprature'"),
])
def test_wrong_phases(news: Path, cache: Path, tmp_path: Path, phases: list[dict[str, object]], text: str):
    with pytest.raises(UKDError) as caught:
        distill(make(news, cache, tmp_path / "run", phases=phases), reporter=QUIET)
    assert text in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_teacher_of_another_output_space_is_refused(news: Path, cache: Path, tmp_path: Path):
    distill(make(news, cache, tmp_path / "teacher", student="cnn", method="none", epochs=1), reporter=QUIET)
    config = tmp_path / "teacher" / "student" / "config.json"
    config.write_text(config.read_text().replace("single_label_classification", "multi_label_classification"))
    with pytest.raises(InputError, match="expected a classifier for output space 'classes'"):
        distill(make(news, cache, tmp_path / "run", teacher=str(tmp_path / "teacher")), reporter=QUIET)
