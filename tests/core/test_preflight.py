"""What `ukd check` and the start of a run find out before anything is trained or written."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ukd_plugins.output_spaces.classes import ClassesSpace

from ukd_core import BuildContext, Recipe
from ukd_core.errors import InputError, Problems, UKDError
from ukd_core.plugins import Registry
from ukd_core.run.cache.building import SHARD_ROWS
from ukd_core.run.preflight import Preflight, preflight
from ukd_core.run.preflight.costs import pass_bytes
from ukd_core.run.preflight.report import ENGINE
from ukd_core.run.quick_metrics import _agree

Command = Callable[..., tuple[int, str, str]]
WORDS = ("oil", "grain", "profit", "ship", "loss", "trade", "rate")
TEACHER, STUDENT = "cnn:layers=3,hidden=16", "bilstm:layers=2,hidden=8"


def rows(count: int, label: Callable[[list[str]], Any]) -> list[dict[str, Any]]:
    used = [[WORDS[(number * step + step) % 7] for step in range(1, 3 + number % 5)] for number in range(count)]
    return [{"text": " ".join(words), "label": label(words)} for words in used]


def topic(words: list[str]) -> str:
    return "crude" if "oil" in words else "other"


def write(folder: Path, **splits: list[dict[str, Any]]) -> Path:
    folder.mkdir()
    for name, part in splits.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("task") / "data", train=rows(60, topic), validation=rows(12, topic))


def recipe(task: Path, **changes: Any) -> Recipe:
    return Recipe.make({"teacher": TEACHER, "student": STUDENT, "data": str(task), "output": str(task.parent / "run"),
                        "cache": str(task.parent / "cache"), "max_length": 16, "batch_size": 8, "epochs": 2,
                        "device": "cpu", **changes})


def classifier(registry: Registry, folder: Path, space: str, names: list[str], adapter: str = "bert",
               **options: Any) -> Path:
    """A stored classifier with random weights."""
    sizes = {"layers": 2, "hidden": 8, "heads": 2, "intermediate": 8, "vocab_size": 320} if adapter == "bert" else {}
    kind = registry.layer_sources.lookup(adapter)
    made = registry.output_spaces.lookup(space)(names)
    kind.build(kind.Options(**{**sizes, **options}), BuildContext(made, list(WORDS), None, 12, 0)).save(folder)
    return folder


def warnings(found: Preflight) -> list[str]:
    return [str(warning) for warning in found.warnings]


@pytest.fixture(scope="module")
def checked(task: Path) -> Preflight:
    return preflight(recipe(task, projector="fixed:strategy=skip", method="universal-kd"))


def test_nothing_is_written(checked: Preflight, task: Path):
    assert {path.name for path in task.parent.iterdir()} == {"data", "cache"}
    assert {path.name for path in (task.parent / "cache").iterdir()} == {"datasets"}


def test_the_plan_is_told_as_tables(checked: Preflight):
    text = " ".join(checked.text().split())
    assert checked.begun is not None and checked.trial is not None
    for side, source in (("teacher", checked.begun.teacher), ("student", checked.begun.student)):
        assert f"{side} {getattr(checked.recipe, side)} {source.name} {source.num_layers}" in text
        assert f" {source.num_parameters:,} mean " in text
    assert "teacher WordLevel" in text and "no limit" in text
    assert "train 60 60 0" in text and "validation 12 12 0" in text
    crude = sum(row["label"] == "crude" for row in rows(60, topic))
    assert f"0 crude ({crude}) (learns it) crude 1 other ({60 - crude}) (learns it) other" in text
    # 2 passes of ceil(60 / 8) steps, which the two phases share in parts of 0.75 and 0.25 or as the method says
    steps = [each.steps for each in checked.trial.phases]
    assert sum(steps) == 2 * math.ceil(60 / 8)
    for each in checked.trial.phases:
        assert f"{each.phase.name} {each.steps} {each.phase.start}" in text
    assert "0.5 layer-kd the teacher's scores" in text and "hard-label labels" in text
    # without the final layers 1 student layer and 2 teacher layers are left: max(⌊1·3/2⌋ − 1, 0) = 0
    assert "layer-kd fixed 0 from 0" in text
    assert text.endswith("0 errors, 0 warnings")


def test_sizes_follow_from_what_is_kept(checked: Preflight):
    kept, needed = checked.cache_bytes()
    assert kept == (60 + 12) * (3 + 1) * 2 * 4  # rows × (heads and classifier) × classes × bytes
    assert needed == 2 * kept + 60 * (3 * 16 + 2) * 4  # shards besides, and the states that heads are fitted on
    assert checked.begun is not None and checked.trial is not None
    learned, student = checked.trial.learned, checked.begun.student.num_parameters
    assert 0.9 * student < learned <= student  # a word of the list stands in no text
    # gradients and two moments; the engine; six numbers of each training row
    assert checked.training_bytes(1000) == 4 * 3 * learned + 1000 + ENGINE + 60 * 6 * 8
    kd, labels = checked.trial.phases
    for each in (kd, labels):
        assert each.seconds is not None and each.seconds > 0
        # at least the token states that the first layer reads: 8 rows × 8 tokens × width, float32
        assert each.activations is not None and each.activations > 8 * 8 * 16 * 4
    assert checked.pass_seconds() > 0
    needs = [checked.pass_bytes(), *(checked.training_bytes(each.activations or 0) for each in (kd, labels))]
    assert checked.peak_bytes() == checked.held + max(needs)
    assert checked.held > 1e8  # the libraries alone


def test_a_metric_that_is_slow_to_load_counts_once(task: Path, monkeypatch: pytest.MonkeyPatch):
    plain, pause = ClassesSpace.metrics, iter([0.3])

    def slow(space: ClassesSpace, *answers: Any) -> Any:
        time.sleep(next(pause, 0.0))
        return plain(space, *answers)

    monkeypatch.setattr(ClassesSpace, "metrics", slow)
    _agree.cache_clear()
    trial = preflight(recipe(task, method="universal-kd")).trial
    assert trial is not None
    first, second = trial.phases
    assert first.first_score >= 0.3 > second.first_score
    assert first.seconds is not None
    steps = first.steps * first.seconds + first.beside * first.evaluation
    assert first.all_seconds == pytest.approx(steps + first.first_score)


def test_memory_of_the_pass_is_that_of_a_shard(checked: Preflight):
    assert checked.begun is not None
    teacher = checked.begun.teacher  # 3 layers of width 16
    few, many = (pass_bytes(teacher, {"train": rows}, 2, 100) for rows in (SHARD_ROWS, 1_000_000))
    assert few == many > 2 * 4 * SHARD_ROWS * 3 * 16  # its states, twice
    assert pass_bytes(teacher, {"train": SHARD_ROWS}, 500, 100) > 4 * SHARD_ROWS * (3 + 1) * 500  # its scores
    assert pass_bytes(teacher, {"train": 20_000}, 2, 20_000) > few  # a fit on all of them


def test_the_student_has_its_whole_table_again(checked: Preflight):
    assert checked.begun is not None and checked.trial is not None
    student = checked.begun.student
    assert student.model.get_input_embeddings().num_embeddings == len(student.tokenizer)
    assert checked.trial.learned < student.num_parameters


def test_dense_maps_and_states_in_the_cache(task: Path):
    found = preflight(recipe(task, method="alp-kd"))
    assert not found.errors
    assert "attention 0 from all" in " ".join(found.text().split())
    kept, _ = found.cache_bytes()
    assert kept == (60 + 12) * 4 * 2 * 4 + 60 * 3 * 16 * 4


def test_assistants_take_part(task: Path):
    found = preflight(recipe(task, method="takd"))
    assert not found.errors and found.begun is not None
    ((_, source),) = found.begun.assistants
    assert "taught by logit-kd" in found.text() and f"{source.num_parameters:,}" in found.text()
    mixed = preflight(recipe(task, method="logit-kd", assistants=("cnn:layers=1", "bilstm:layers=1"),
                             assistant_use="ensemble"))
    assert not mixed.errors


def test_everything_wrong_is_told_at_once(ukd: Command, task: Path, tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    status, out, err = ukd("check", "--teacher=cnnn", "--student=bilstm:layerz=2", "--data=nowhere.csv",
                           "--method=pkd", "--projector=fixe", "--output-space=clases", f"--output={tmp_path / 'run'}",
                           f"--cache={tmp_path / 'cache'}")
    assert status == 2
    assert out == "6 errors, 0 warnings\n"
    told = err.splitlines()
    assert [line.split(":")[0] for line in told] == ["ukd"] * 6
    for part in ("holds files that are not a run", "output space 'clases': no such output space", "projector 'fixe'",
                 "student 'bilstm:layerz=2': no option 'layerz'", "teacher 'cnnn': no adapter", "nowhere.csv"):
        assert sum(part in line for line in told) == 1


def test_a_run_tells_the_same_at_once(ukd: Command, tmp_path: Path):
    status, out, err = ukd("distill", "--teacher=cnnn", "--student=bilstn", "--data=nowhere.csv",
                           f"--output={tmp_path / 'run'}", f"--cache={tmp_path / 'cache'}")
    assert (status, out, len(err.splitlines())) == (2, "", 3)
    assert not (tmp_path / "run").exists()


def test_output_is_optional_the_rest_is_not(ukd: Command, task: Path):
    assert ukd("check", "--student=cnn")[::2] == (2, "ukd: ukd check: missing --teacher, --data. "
                                                     "Give the options or a --recipe.\n")
    status, out, err = ukd("check", f"--teacher={TEACHER}", f"--student={STUDENT}", f"--data={task}",
                           f"--cache={task.parent / 'cache'}", "--device=cpu", "--max-length=16", "--method=none")
    assert (status, err) == (0, "")
    assert out.endswith("0 errors, 0 warnings\n")


def test_a_head_and_labels_that_do_not_fit_are_told_together(registry: Registry, task: Path, tmp_path: Path):
    teacher = classifier(registry, tmp_path / "teacher", "multilabel", ["acq", "crude"])
    with_more = write(tmp_path / "data", train=rows(30, lambda words: words[0]), validation=rows(30, topic))
    found = preflight(recipe(with_more, teacher=str(teacher)))
    head, *labels = map(str, found.errors)
    assert head.startswith(f"teacher '{teacher}': expected a classifier for output space 'classes' (problem_type "
                           "single_label_classification), got multi_label_classification. ")
    train, validation = labels
    assert "split 'train', row 0: label 'grain' is none of ['acq', 'crude']; nor are 6 more: profit, " in train
    assert "split 'validation', row 0: label 'other' is none of ['acq', 'crude']. " in validation
    with pytest.raises(UKDError) as caught:
        found.tell()
    assert [caught.value, *caught.value.others] == list(found.errors)


def test_labels_of_a_teacher_stand_beside_those_of_the_data(registry: Registry, task: Path, tmp_path: Path):
    teacher = classifier(registry, tmp_path / "teacher", "classes", ["Other", "crude", "wheat"])
    found = preflight(recipe(task, teacher=str(teacher), max_length=14, method="logit-kd"))
    text = " ".join(found.text().split())
    assert not found.errors
    assert "taken as it is" in text
    crude = sum(row["label"] == "crude" for row in rows(60, topic))
    assert (f"0 other ({60 - crude}) Other Other 1 crude ({crude}) crude crude 2 (no row) wheat wheat") in text
    assert warnings(found) == [f"data '{task}': expected training rows of every label, got none of wheat. "
                               "Only the teacher's scores can teach it."]


def test_long_texts_and_few_positions_are_warned_of(registry: Registry, task: Path, tmp_path: Path):
    teacher = classifier(registry, tmp_path / "teacher", "classes", ["crude", "other"])
    long = write(tmp_path / "data", train=[{"text": "oil " * 600, "label": "crude"},
                                           {"text": "grain", "label": "other"}] * 4)
    found = preflight(recipe(long, teacher=str(teacher), validation_fraction=0.0, max_length=700))
    assert found.begun is not None
    positions = found.begun.teacher.max_positions
    where = f"teacher '{teacher}': expected"
    longest = found.readings["teacher"].longest
    assert positions == 512 and longest > 600
    assert warnings(found) == [
        f"{where} positions for max_length 700, got {positions}. "
        f"Longer texts are cut there; --max-length {positions} would cut them for both sides alike.",
        f"{where} texts of at most {positions} tokens, got longer ones in 50% of the rows (the longest of the sample "
        f"has {longest:,}). They are cut off; raise --max-length where the model can read more.",
        f"data '{long}': expected labelled validation or test rows, got none. "
        "The last checkpoint is taken, and nothing is scored."]


@pytest.mark.parametrize("method", ["none", "logit-kd"])
def test_weights_of_classes_are_for_classes(task: Path, method: str):
    """Whether the student learns from labels or only its teacher and its baseline do."""
    assert not preflight(recipe(task, class_weights="balanced", unlabelled_weight=0.5, method=method)).errors
    (error,) = preflight(recipe(task, class_weights="balanced", output_space="multilabel", method=method)).errors
    assert str(error).startswith("class_weights 'balanced': expected one class for each text, got output space ")


def test_one_label_each_in_a_space_of_several_is_warned_of(task: Path):
    found = preflight(recipe(task, output_space="multilabel"))
    assert warnings(found) == [
        f"data '{task}': expected rows with several labels or none for output space 'multilabel', got exactly one "
        "label in every row. Use --output-space classes if a text has one label."]


def test_phases_without_rows_are_warned_of(registry: Registry, tmp_path: Path):
    teacher = classifier(registry, tmp_path / "teacher", "classes", ["crude", "other"])
    texts = write(tmp_path / "data", train=[{"text": row["text"]} for row in rows(20, topic)])
    (error,) = preflight(recipe(texts, teacher=str(teacher), unlabelled_weight=0.0)).errors
    assert str(error) == "unlabelled_weight 0: expected labelled training rows, got none. Raise the weight."
    found = preflight(recipe(texts, teacher=str(teacher)))
    assert not found.errors
    assert warnings(found)[0] == ("phase 'finetune': expected labelled training rows, got none. "
                                  "It is left out, its steps go to the other phases.")
    assert found.trial is not None and [each.steps for each in found.trial.phases] == [2 * math.ceil(20 / 8)]


def test_a_pair_that_a_term_cannot_serve(registry: Registry, task: Path, tmp_path: Path):
    teacher = classifier(registry, tmp_path / "teacher", "classes", ["crude", "other"])
    other = preflight(recipe(task, teacher=str(teacher), student="cnn", method="tinybert"))
    assert str(other.errors[0]).startswith("method 'tinybert': expected a student with")
    own = "bert:layers=1,hidden=8,heads=2,intermediate=8,vocab_size=300"
    (error,) = preflight(recipe(task, teacher=str(teacher), student=own, method="pid")).errors
    assert str(error).startswith("method 'pid': expected a student that reads the teacher's tokens")


def test_every_phase_that_does_not_fit_is_told(ukd: Command, task: Path):
    terms = [{"term": "layer-kd", "options": {"projector": "fixed:strategy=pairs,pairs=[[0,9]]"}}]
    phases = [{"name": name, "share": 0.5, "terms": terms} for name in ("one", "two")]
    found = preflight(recipe(task, phases=phases))
    assert [str(error) for error in found.errors] == 2 * [
        "projector 'fixed': expected layers that exist, got teacher layer 9 in pair [0, 9]. Valid teacher layers are "
        "0..1."]
    recipe(task, phases=phases).write(task.parent / "wrong.yaml")
    status, _, err = ukd("distill", f"--recipe={task.parent / 'wrong.yaml'}")
    assert status == 2 and len(err.splitlines()) == 2
    assert not (task.parent / "cache" / "teachers").exists()  # nobody learned anything before that
    (task.parent / "wrong.yaml").unlink()


def test_a_regression_has_one_column(tmp_path: Path):
    numbers = write(tmp_path / "data", train=rows(40, lambda words: len(words) / 2))
    found = preflight(recipe(numbers, output_space="regression"))
    assert not found.errors
    assert "output space: regression, one number (column 0); metric pearson" in found.text()


def test_problems_are_gathered_in_order():
    problems = Problems()
    assert problems.attempt(int, "3") == 3

    def fail(text: str) -> None:
        raise InputError("here", text)

    assert problems.attempt(fail, "one") is None
    inner = Problems()
    inner.attempt(fail, "two")
    inner.attempt(fail, "three")
    problems.attempt(inner.tell)
    with pytest.raises(InputError, match="here: one") as caught:
        problems.tell()
    assert [str(error) for error in caught.value.others] == ["here: two.", "here: three."]
    Problems().tell()


@pytest.mark.parametrize("tuning", ["auto", "probe", "finetune"])
def test_the_models_that_were_tried_are_as_good_as_new(registry: Registry, task: Path, tmp_path: Path, tuning: str):
    """A run that checks first and one that does not end with the same weights."""
    from safetensors.torch import load_file

    from ukd_core import distill
    from ukd_core.run.progress import Reporter
    teacher = classifier(registry, tmp_path / "teacher", "classes", ["crude", "other"])
    made = {}
    for check in (True, False):
        run = recipe(task, teacher=str(teacher), student="cnn:layers=2,hidden=8", output=str(tmp_path / f"run{check}"),
                     cache=str(tmp_path / f"cache{check}"), epochs=1,
                     teacher_tuning=tuning, teacher_epochs=1)
        distill(run, check=check, reporter=Reporter(quiet=True))
        made[check] = load_file(tmp_path / f"run{check}" / "student" / "model.safetensors")
    assert made[True].keys() == made[False].keys()
    assert all(torch.equal(made[True][name], made[False][name]) for name in made[True])
