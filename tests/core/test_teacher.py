"""How a teacher becomes one that can answer, and what stops it."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest

from ukd_core import BuildContext, Recipe
from ukd_core.errors import InputError
from ukd_core.plugins import Registry
from ukd_core.run.data import TaskData
from ukd_core.run.processes import Processes
from ukd_core.run.progress import Reporter
from ukd_core.run.sources import plan_source
from ukd_core.run.teacher import Teacher, check_head, ready_teacher, stored_teacher

TEXTS = ["oil prices rose", "wheat harvest", "oil", "a good harvest"]
TINY = "cnn:hidden=8,layers=1"


def recipe(**changes: object) -> Recipe:
    return Recipe.make({"teacher": TINY, "student": "cnn", "data": "d.csv", "output": "o", "device": "cpu",
                        "max_length": 16, "teacher_epochs": 1, **changes})


def task(registry: Registry, labels: list[int]) -> TaskData:
    space = registry.output_spaces.lookup("classes")(["crude", "grain"])
    split = datasets.Dataset.from_dict({"text": TEXTS, "label": labels, "row": [0, 1, 2, 3]})
    return TaskData({"train": split}, space, pairs=False)


def ready(text: str, data: TaskData, registry: Registry, cache: Path, **changes: object) -> Teacher:
    return ready_teacher(plan_source(text, registry, cache, "teacher"), data, recipe(**changes), registry, cache,
                         Processes("cpu"), Reporter(quiet=True))


@pytest.fixture
def saved(registry: Registry, tmp_path: Path) -> Path:
    """A classifier of two classes, with random weights."""
    data = task(registry, [0, 1, 0, 1])
    kind = registry.layer_sources.lookup("cnn")
    kind.build(kind.Options(layers=1, hidden=8), BuildContext(data.space, TEXTS, None, 16, 0)).save(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.mark.parametrize("tuning", ["auto", "finetune", "probe"])
def test_a_new_teacher_without_labels_is_refused(registry: Registry, tmp_path: Path, tuning: str):
    with pytest.raises(InputError) as caught:
        ready(TINY, task(registry, [-100] * 4), registry, tmp_path, teacher_tuning=tuning)
    assert str(caught.value) == (f"teacher '{TINY}': it is not yet a classifier, and no training row has a label. "
                                 "Give a fine-tuned teacher, or some labels.")
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_without_a_classifier_has_to_learn(registry: Registry, tmp_path: Path):
    data, folder = task(registry, [0, 1, 0, 1]), tmp_path / "encoder"
    kind = registry.layer_sources.lookup("bert")
    made = kind.build(kind.Options(layers=1, hidden=8, heads=2, intermediate=8, vocab_size=320),
                      BuildContext(data.space, TEXTS, None, 16, 0))
    made.model.bert.save_pretrained(folder)
    made.tokenizer.save_pretrained(folder)
    with pytest.raises(InputError, match=r"it is not yet a classifier, and no training row has a label"):
        ready(str(folder), task(registry, [-100] * 4), registry, tmp_path)
    teacher = ready(str(folder), data, registry, tmp_path)
    assert teacher.source.label_names == ("crude", "grain") and teacher.seconds > 0


def test_a_classifier_is_taken_as_it_is(registry: Registry, saved: Path, tmp_path: Path):
    plan = plan_source(str(saved), registry, tmp_path, "teacher")
    source = stored_teacher(plan, recipe())
    assert source is not None and source.label_names == ("crude", "grain")
    check_head("mine", source, registry.output_spaces.lookup("classes"))
    teacher = ready(str(saved), task(registry, [-100] * 4), registry, tmp_path)
    assert (teacher.source.label_names, teacher.probe, teacher.seconds) == (("crude", "grain"), False, 0.0)


def test_scores_of_another_meaning_are_refused(registry: Registry, saved: Path, tmp_path: Path):
    source = plan_source(str(saved), registry, tmp_path, "teacher").load()
    with pytest.raises(InputError) as caught:
        check_head(str(saved), source, registry.output_spaces.lookup("multilabel"))
    assert str(caught.value) == (
        f"teacher '{saved}': expected a classifier for output space 'multilabel' "
        "(problem_type multi_label_classification), got single_label_classification. "
        "Change --output-space, or retrain it with --teacher-tuning finetune.")


@pytest.mark.parametrize("tuning", ["finetune", "probe"])
def test_a_classifier_that_learns_anew_has_no_labels_yet(registry: Registry, saved: Path, tmp_path: Path, tuning: str):
    plan = plan_source(str(saved), registry, tmp_path, "teacher")
    assert stored_teacher(plan, recipe(teacher_tuning=tuning)) is None


def test_a_probed_teacher_keeps_its_encoder(registry: Registry, saved: Path, tmp_path: Path):
    teacher = ready(str(saved), task(registry, [0, 1, 0, 1]), registry, tmp_path, teacher_tuning="probe")
    assert teacher.probe
    assert not (tmp_path / "teachers").exists()


def test_a_tuned_teacher_is_kept_and_read_again(registry: Registry, tmp_path: Path):
    data = task(registry, [0, 1, -100, 1])
    first = ready(TINY, data, registry, tmp_path)
    (entry,) = (path for path in (tmp_path / "teachers").iterdir() if path.is_dir())
    before = {path.name: path.read_bytes() for path in entry.iterdir()}
    again = ready(TINY, data, registry, tmp_path)
    assert (first.seconds > 0, again.seconds) == (True, 0.0)
    assert first.source.label_names == again.source.label_names == ("crude", "grain")
    assert {path.name: path.read_bytes() for path in entry.iterdir()} == before
    for (name, ours), theirs in zip(first.source.model.state_dict().items(),
                                    again.source.model.state_dict().values(), strict=True):
        assert ours.equal(theirs), name


def test_a_tuned_teacher_is_kept_by_its_learning_rate_whoever_chose_it(registry: Registry, tmp_path: Path,
                                                                      monkeypatch: pytest.MonkeyPatch):
    data = task(registry, [0, 1, 0, 1])
    kind = registry.layer_sources.lookup("cnn")

    def trained(**changes: object) -> bool:
        return ready(TINY, data, registry, tmp_path, teacher_tuning="finetune", **changes).seconds > 0

    assert trained() and not trained(teacher_learning_rate=1e-3) and trained(teacher_learning_rate=2e-3)
    monkeypatch.setattr(kind, "learning_rate", property(lambda source: 2e-3))
    assert not trained()
    monkeypatch.setattr(kind, "learning_rate", property(lambda source: 3e-3))
    assert trained()
