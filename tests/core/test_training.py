"""What the engine is told of a phase."""

from __future__ import annotations

import gc
import json
import weakref
from dataclasses import replace
from pathlib import Path

import datasets
import hypothesis.extra.numpy
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import TrainerControl, TrainerState, TrainingArguments

from ukd_core import BuildContext, Phase, Recipe, TermSpec
from ukd_core.plugins import Registry
from ukd_core.run import phases as phases_module
from ukd_core.run import trainer as trainer_module
from ukd_core.run.data import TaskData
from ukd_core.run.finished import Ending
from ukd_core.run.guards import all_finite
from ukd_core.run.phases import Training, train_phases
from ukd_core.run.processes import Processes
from ukd_core.run.progress import Reporter
from ukd_core.run.rows import tokenize_data

TEXTS = ["oil prices rose", "wheat harvest", "oil", "a good harvest", "wheat", "oil and wheat"]
TWICE = [Phase(name=name, share=0.5, terms=(TermSpec(term="hard-label"),)) for name in ("first", "second")]
ONCE = [Phase(name="first", terms=(TermSpec(term="hard-label"),))]


def training(registry: Registry, folder: Path, *, validation: bool = False, **changes: object) -> Training:
    """A tiny student of two classes, on six rows in batches of four; its vocabulary has a word of a seventh.

    The rows are those of validation too, if there is any.
    """
    recipe = Recipe.make({"teacher": "cnn", "student": "cnn", "data": "d.csv", "output": str(folder), "device": "cpu",
                          "max_length": 16, "batch_size": 4, "epochs": 2, **changes})
    split = datasets.Dataset.from_dict({"text": TEXTS, "label": [0, 1, 0, 1, 1, 0], "row": list(range(6))})
    splits = {"train": split, "validation": split} if validation else {"train": split}
    data = TaskData(splits, registry.output_spaces.lookup("classes")(["crude", "grain"]), pairs=False)
    kind = registry.layer_sources.lookup("cnn")
    source = kind.build(kind.Options(layers=1, hidden=8), BuildContext(data.space, [*TEXTS, "quiz quiz"], None, 16, 0))
    return Training(source, data, tokenize_data(source, data, 16, folder / "cache"), None, recipe, registry, folder,
                    Processes("cpu"), Reporter(quiet=True))


@pytest.mark.parametrize("gpus", [1, 2])
def test_one_process_trains_on_one_gpu(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: int):
    """The engine would make batches larger by the number of GPUs that it sees."""
    found, told = TrainingArguments.__post_init__, trainer_module.ProgressBar.on_step_end
    seen = []

    def sees_gpus(self: TrainingArguments) -> None:
        found(self)
        self._n_gpu = gpus

    def step(self: object, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: object
             ) -> None:
        seen.append((args.n_gpu, args.train_batch_size))
        told(self, args, state, control, **rest)

    monkeypatch.setattr(TrainingArguments, "__post_init__", sees_gpus)
    monkeypatch.setattr(trainer_module.ProgressBar, "on_step_end", step)
    train_phases(training(registry, tmp_path), registry.methods.lookup("none").phases)
    assert seen == [(1, 4)] * 4


@pytest.mark.parametrize("trim", [True, False])
def test_rows_that_no_text_reads_are_trained_only_where_the_table_is_whole(registry: Registry, tmp_path: Path,
                                                                          trim: bool):
    """No gradient reaches them; what changes them is weight decay."""
    made = training(registry, tmp_path, trim_vocabulary=trim, weight_decay=0.5, learning_rate=0.01)
    table = made.source.input_embeddings()
    unread = made.source.tokenizer.get_vocab()["quiz"]
    before = table[unread].clone()
    train_phases(made, registry.methods.lookup("none").phases)
    after = made.source.input_embeddings()
    assert before.abs().max() > 0 and after.shape == table.shape
    assert after[unread].equal(before) is trim


@given(hypothesis.extra.numpy.arrays(np.float32, st.integers(0, 6).map(lambda rows: (rows, 2)), elements=st.floats(
    width=32)))
def test_extremes_tell_whether_all_numbers_are_finite(values: np.ndarray):
    for kind in (torch.float32, torch.float64, torch.bfloat16):
        tensor = torch.from_numpy(values).to(kind)
        assert all_finite(tensor) is bool(tensor.isfinite().all())


def test_a_finished_phase_is_read_again(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A run that is stopped in its second phase goes on there, with the weights that the first one left."""
    trained, train = [], trainer_module.DistillationTrainer.train

    def stopped(self: trainer_module.DistillationTrainer, **options: object) -> None:
        trained.append(Path(self.args.output_dir).name)
        if trained == ["1-first", "2-second"]:
            raise KeyboardInterrupt
        train(self, **options)

    whole = training(registry, tmp_path / "whole")
    train_phases(whole, TWICE)
    monkeypatch.setattr(trainer_module.DistillationTrainer, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        train_phases(training(registry, tmp_path / "cut"), TWICE)
    again = training(registry, tmp_path / "cut")
    train_phases(again, TWICE)
    assert trained == ["1-first", "2-second", "2-second"]
    for (name, expected), found in zip(whole.source.state_dict().items(), again.source.state_dict().values(),
                                       strict=True):
        assert expected.equal(found), name


def with_wrong_labels(monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    train = trainer_module.DistillationTrainer.train

    def mistaught(self: trainer_module.DistillationTrainer, **options: object) -> None:
        if Path(self.args.output_dir).name == phase:
            self.train_dataset.labels = 1 - self.train_dataset.labels
        train(self, **options)

    monkeypatch.setattr(trainer_module.DistillationTrainer, "train", mistaught)


def finished(folder: Path, phase: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    path = folder / "checkpoints" / phase / "finished.safetensors"
    with safe_open(path, "pt") as file:
        return load_file(path), file.metadata()


def accuracy(made: Training) -> float:
    made.source.eval()
    with torch.no_grad():
        answers = made.source(made.rows["train"].batch(torch.arange(6))).logits.argmax(dim=1)
    return float((answers == made.data.labels("train")).double().mean())


def test_a_phase_that_ends_below_where_it_began_is_not_kept(registry: Registry, tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch,
                                                           capsys: pytest.CaptureFixture[str]):
    with_wrong_labels(monkeypatch, "2-second")
    made = replace(training(registry, tmp_path, validation=True, epochs=40, learning_rate=0.1, warmup=0.0),
                   reporter=Reporter())
    endings = train_phases(made, TWICE)
    (first, noted), (second, again) = finished(tmp_path, "1-first"), finished(tmp_path, "2-second")
    assert noted["reached"] == again["reached"] == "1.0" and accuracy(made) == 1.0
    assert all(first[name].equal(second[name]) for name in first)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    worst = max(line["eval_accuracy"] for line in log if line["number"] == 2 and "eval_accuracy" in line)
    assert worst < 1.0  # it was trained, and unlearned
    assert endings == train_phases(made, TWICE) == [Ending("first", 1.0, True), Ending("second", worst, False)]
    assert (f"phase 'second' reached accuracy {worst:.4f}, less than the 1.0000 before it: the weights before it are "
            "kept") in " ".join(capsys.readouterr().err.split())


def test_a_phase_that_ends_above_where_it_began_is_kept(registry: Registry, tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch):
    with_wrong_labels(monkeypatch, "1-first")
    made = training(registry, tmp_path, validation=True, epochs=40, learning_rate=0.01)
    train_phases(made, TWICE)
    (_, noted), (_, again) = finished(tmp_path, "1-first"), finished(tmp_path, "2-second")
    assert float(noted["reached"]) < float(again["reached"]) == accuracy(made) == 1.0


def test_phases_are_not_compared_without_validation_rows(registry: Registry, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch):
    with_wrong_labels(monkeypatch, "2-second")
    made = training(registry, tmp_path, epochs=40, learning_rate=0.01)
    assert train_phases(made, TWICE) == [Ending("first", None, True), Ending("second", None, True)]
    assert "reached" not in (finished(tmp_path, "2-second")[1] or {}) and accuracy(made) == 0.0


def test_a_moved_folder_keeps_the_best_checkpoint_of_a_phase_whose_steps_are_done(
        registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Killed after the last checkpoint and before its end, the phase has no step left in which a path is noted."""
    with_wrong_labels(monkeypatch, "1-first")
    options = {"validation": True, "epochs": 40, "learning_rate": 0.05, "warmup": 0.0}

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    whole = training(registry, tmp_path / "whole", **options)
    train_phases(whole, ONCE)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(phases_module, "finish_phase", killed)
        train_phases(training(registry, tmp_path / "here", **options), ONCE)
    (tmp_path / "here").rename(tmp_path / "there")
    again = training(registry, tmp_path / "there", **options)
    train_phases(again, ONCE)
    (_, noted), (_, expected) = finished(tmp_path / "there", "1-first"), finished(tmp_path / "whole", "1-first")
    assert float(noted["reached"]) == accuracy(again) == accuracy(whole) == float(expected["reached"]) > 0.0


def test_the_optimizer_is_made_once(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The engine asks for it at several places."""
    made, train = [], trainer_module.DistillationTrainer.train

    def asks_before(self: trainer_module.DistillationTrainer, **options: object) -> None:
        made.append((self.create_optimizer(), self.create_optimizer()))
        train(self, **options)

    monkeypatch.setattr(trainer_module.DistillationTrainer, "train", asks_before)
    train_phases(training(registry, tmp_path), registry.methods.lookup("none").phases)
    assert made[0][0] is made[0][1]


def test_a_trained_student_is_not_kept_in_memory(registry: Registry, tmp_path: Path):
    """By nothing that only a search of all objects would find: a comparison of a hundred runs would fill it."""
    gc.disable()
    try:
        run = training(registry, tmp_path)
        model = weakref.ref(run.source.model)
        train_phases(run, registry.methods.lookup("none").phases)
        del run
        assert model() is None
    finally:
        gc.enable()
