"""The verdict: its figures against slow oracles, its words for every outcome, and what it is made from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ukd_core import Recipe
from ukd_core.errors import InputError
from ukd_core.run.compare.bootstrap import Interval, paired_difference, score_interval
from ukd_core.run.compare.judge import Judge
from ukd_core.run.quick_metrics import QUICK
from ukd_core.run.verdict import Verdict, verdict_of, write_verdict
from ukd_core.run.verdict.calibration import calibration, calibration_error
from ukd_core.run.verdict.table import verdict_text

CLASSES, SEVERAL, NUMBER = "single_label_classification", "multi_label_classification", "regression"
SPEED = {"p50_ms": 2.0, "p95_ms": 3.0, "per_second": 100.0, "threads": 1, "device": "cpu"}


# --- Calibration ------------------------------------------------------------------------------------------------------

def slow_error(confidence, right, bins=15):
    """Guo et al. 2017, written out bin by bin."""
    total = 0.0
    for index in range(bins):
        inside = [row for row, value in enumerate(confidence)
                  if (index / bins < value <= (index + 1) / bins) or (index == 0 and value == 0.0)]
        if inside:
            accuracy = sum(float(right[row]) for row in inside) / len(inside)
            mean = sum(float(confidence[row]) for row in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(accuracy - mean)
    return total


def test_calibration_of_classes_is_that_of_the_oracle():
    generator = np.random.default_rng(0)
    logits, labels = generator.normal(0, 3, (400, 4)).astype(np.float32), generator.integers(0, 4, 400)
    shares = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(axis=1, keepdims=True)
    ece, nll = calibration(logits, labels, CLASSES)
    assert ece == pytest.approx(slow_error(shares.max(axis=1), shares.argmax(axis=1) == labels), abs=1e-12)
    assert nll == pytest.approx(-np.mean([math.log(shares[row, label]) for row, label in enumerate(labels)]))


def test_calibration_of_several_labels_takes_each_as_a_question_of_its_own():
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 2, (300, 3)).astype(np.float32)
    labels = (generator.random((300, 3)) < 0.3).astype(np.float32)
    chances = 1 / (1 + np.exp(-logits.astype(float)))
    ece, nll = calibration(logits, labels, SEVERAL)
    assert ece == pytest.approx(np.mean([slow_error(chances[:, c], labels[:, c]) for c in range(3)]), abs=1e-12)
    lost = -(labels * np.log(chances) + (1 - labels) * np.log(1 - chances))
    assert nll == pytest.approx(lost.sum(axis=1).mean())


def test_the_edges_of_bins():
    edges = np.array([0.0, 1 / 15, 2 / 15, 1.0])
    right = np.array([1, 0, 1, 0])
    assert calibration_error(edges, right) == pytest.approx(slow_error(edges, right))
    assert calibration_error(np.ones(8), np.ones(8)) == 0.0
    assert calibration_error(np.ones(8), np.zeros(8)) == 1.0


def test_sure_and_wrong_is_finite_and_numbers_have_no_calibration():
    ece, nll = calibration(np.array([[1e4, -1e4]], dtype=np.float32), np.array([1]), CLASSES)
    assert (ece, nll) == (1.0, 2e4)
    assert calibration(np.zeros((3, 1)), np.zeros(3), NUMBER) == (None, None)


# --- Metrics and intervals --------------------------------------------------------------------------------------------

@pytest.fixture
def spaces(registry):
    """A space for each kind of task, by its problem type; two classes and four."""
    made = [registry.output_spaces.lookup("classes")("ab"), registry.output_spaces.lookup("classes")("abcd"),
            registry.output_spaces.lookup("multilabel")("abc"), registry.output_spaces.lookup("regression")(["score"])]
    return made


def drawn(generator, space, rows):
    """Answers and labels of a space, now and then constant or without one of the labels."""
    if space.problem_type == NUMBER:
        return generator.normal(size=rows).astype(np.float32), generator.integers(0, 5, rows).astype(np.float32)
    if space.problem_type == SEVERAL:
        return generator.integers(0, 2, (rows, 3)), (generator.random((rows, 3)) < 0.3).astype(np.float32)
    size = generator.integers(1, space.size + 1)
    return generator.integers(0, size, rows), generator.integers(0, space.size, rows)


def test_quick_metrics_are_those_of_the_spaces(spaces):
    generator, tried = np.random.default_rng(0), set()
    for space in spaces:
        for rows in (2, 5, 30, 30, 30):
            predictions, labels = drawn(generator, space, rows)
            own = space.metrics(predictions, labels)
            for (kind, name), quick in QUICK.items():
                if kind == space.problem_type and name in own:
                    assert quick(predictions, labels) == pytest.approx(own[name], abs=1e-12), name
                    tried.add((kind, name))
    assert tried == set(QUICK)


def test_a_known_name_with_another_meaning_is_computed_by_its_space(registry):
    class Lenient(registry.output_spaces.lookup("classes").__mro__[1]):  # the contract: shipped classes are final
        def metrics(self, predictions, labels):
            return {"accuracy": float((predictions == labels).mean()) / 2}

    shipped = registry.output_spaces.lookup("classes")
    members = {name: vars(shipped)[name] for name in ("encode", "is_labelled", "label_loss", "divergence",
               "predictions", "describe", "label_names", "missing", "problem_type", "primary_metric")}
    space = type("Halved", (Lenient,), members)("ab")
    space.metric = "f1_macro"
    type(space).metrics = lambda self, predictions, labels: {"f1_macro": float((predictions == labels).mean()) / 2}
    labels = np.array([0, 1] * 20)
    assert Judge(space, labels).quality(labels) == Interval(0.5, 0.5, 0.5)


def test_a_difference_over_seeds_is_one_of_the_metric(registry):
    generator = np.random.default_rng(5)
    space = registry.output_spaces.lookup("classes")("abc")
    space.metric = "f1_macro"
    labels = np.repeat([0, 1, 2], 20)
    one, other = (np.where(generator.random((3, 60)) < right, labels, generator.integers(0, 3, (3, 60)))
                  for right in (0.9, 0.2))

    def f1(given, known):
        hits = np.array([np.sum((given == label) & (known == label)) for label in range(3)])
        both = np.array([np.sum(given == label) + np.sum(known == label) for label in range(3)])
        return float(np.mean([2 * hit / all_ for hit, all_ in zip(hits, both, strict=True) if all_]))

    assert Judge(space, labels).difference(one, other) == paired_difference(one, other, labels, f1)


def test_the_interval_of_a_score():
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 2, 500)
    answers = np.where(generator.random(500) < 0.8, labels, 1 - labels)

    def accuracy(given, known):
        return float((given == known).mean())

    found = score_interval(answers, labels, accuracy)
    error = (found.mean * (1 - found.mean) / 500) ** 0.5
    assert found.mean == pytest.approx((answers == labels).mean())
    assert (found.low, found.high) == pytest.approx((found.mean - 1.96 * error, found.mean + 1.96 * error), abs=0.01)
    assert score_interval(answers, labels, accuracy, mean_over_rows=True) == found


# --- Finished runs ----------------------------------------------------------------------------------------------------

def answers_of(generator, labels, right, size=2):
    """Scores that are right on about that share of the rows."""
    wrong = torch.from_numpy(generator.random(len(labels))) >= right
    given = torch.where(wrong, (labels + 1) % size, labels)
    return torch.nn.functional.one_hot(given, size).float() * 4


def write_run(folder: Path, answers: Mapping[str, Any], *, method: str = "logit-kd", split: str = "validation",
              metric: str = "accuracy", labels: tuple[str, ...] = ("no", "yes"), space: str = "classes",
              speed: bool = True) -> Path:
    """A run folder as `distill` leaves it, with these scores."""
    folder.mkdir(parents=True, exist_ok=True)
    Recipe.make({"teacher": "bert", "student": "cnn", "data": "d.csv", "output": str(folder), "method": method,
                 "output_space": space}).write(folder / "recipe.yaml")
    metrics: dict[str, Any] = {
        "format": 1, "method": method, "seed": 3, "evaluated_on": split, "metric": metric, "labels": list(labels),
        "teacher": {"name": "bert", "parameters": 1000, "bytes": 4_000_000},
        "student": {"name": "cnn", "parameters": 10, "bytes": 100_000}}
    if speed:
        metrics["speed"] = {"teacher": SPEED, "student": {**SPEED, "per_second": 1250.0}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    save_file({key: value.contiguous() for key, value in answers.items()}, folder / "answers.safetensors")
    return folder


def scored(seed, rows=300, teacher=0.9, student=0.8, split="validation"):
    generator = np.random.default_rng(0)
    labels = torch.from_numpy(generator.integers(0, 2, rows))
    given = answers_of(generator, labels, teacher)
    return {f"{split}.labels": labels, f"{split}.teacher": given,
            f"{split}.student": answers_of(np.random.default_rng(seed), labels, student)}


@pytest.mark.parametrize(("student", "baseline", "outcome", "words"), [
    (0.85, 0.7, "helped", "Distillation helped: accuracy +"),
    (0.8, 0.79, "did not help", "Distillation did not help: accuracy "),
    (0.7, 0.85, "hurt", "Distillation hurt: accuracy -"),
])
def test_the_difference_to_the_baseline_is_told_as_it_is(tmp_path, student, baseline, outcome, words):
    run = write_run(tmp_path / "run", scored(1, student=student))
    write_run(tmp_path / "run" / "baseline", scored(2, student=baseline), method="none", speed=False)
    found = verdict_of(run)
    assert found.outcome == outcome
    assert found.sentences[1].startswith(words)
    assert found.sentences[1].endswith("This is one seed; ukd compare runs several.")
    assert ("the interval holds 0, so these rows prove no difference" in found.sentences[1]) == (
        outcome == "did not help")
    own, other = (scored(seed, student=share) for seed, share in ((1, student), (2, baseline)))
    right = [(side["validation.student"].argmax(-1) == side["validation.labels"]).float().mean().item()
             for side in (own, other)]
    assert found.difference.mean == pytest.approx(right[0] - right[1])
    assert found.baseline.quality.mean == pytest.approx(right[1])


def test_what_a_verdict_holds(tmp_path):
    answers = scored(1)
    run = write_run(tmp_path / "run", answers)
    found = write_verdict(run)
    labels, given = answers["validation.labels"], answers["validation.student"].argmax(-1)
    teacher = answers["validation.teacher"].argmax(-1)
    right, best = (given == labels).float().mean().item(), (teacher == labels).float().mean().item()
    assert (found.method, found.seed, found.split, found.metric) == ("logit-kd", 3, "validation", "accuracy")
    assert (found.rows, found.labelled_rows) == (300, 300)
    assert [model.role for model in found.models] == ["teacher", "student"]
    assert (found.student.quality.mean, found.teacher.quality.mean) == pytest.approx((right, best))
    assert found.student.kept == pytest.approx(right / best)
    assert found.teacher.over.mean == pytest.approx(right - best)
    assert found.student.over is None
    assert found.student.agreement == pytest.approx((given == teacher).float().mean().item())
    assert found.student.speed_up == pytest.approx(12.5)
    assert (found.student.parameters, found.student.bytes) == (10, 100_000)
    assert found.outcome == "cannot tell"
    assert found.sentences == (
        f"The student keeps {right / best:.1%} of the teacher's accuracy ({right:.4f} of {best:.4f}), answers 12.5 "
        "times as many texts a second (batches of 32, CPU, 1 thread), and takes 0.1 MB instead of 4.0.",
        "Whether distillation helped: cannot tell without --with-baseline, which trains the same student on labels "
        "alone, at equal steps.")
    assert Verdict.read(json.loads((run / "verdict.json").read_text())) == found
    text = verdict_text(found)
    assert "1 thread, from text to answer" in text
    assert f"{right:.4f}" in text and "1,250" in text and text.endswith(found.sentences[-1])


def mostly_yes(right):
    """200 rows, of which 140 are "yes"; a student that is right on a share of them, and one answer for all."""
    labels = torch.tensor([1] * 140 + [0] * 60)
    given = answers_of(np.random.default_rng(4), labels, right)
    return {"validation.labels": labels, "validation.student": given,
            "validation.teacher": torch.nn.functional.one_hot(labels, 2).float()}


@pytest.mark.parametrize(("right", "words"), [(0.95, None), (0.7, "not above"), (0.3, "below"), (0.79, "above")])
def test_a_student_is_held_against_one_answer_for_all_rows(tmp_path, right, words):
    answers = mostly_yes(right)
    found = write_verdict(write_run(tmp_path / "run", answers))
    own = (answers["validation.student"].argmax(-1) == answers["validation.labels"]).float().mean().item()
    assert (found.floor.answer, found.floor.score) == ("yes", pytest.approx(0.7))
    assert found.floor.over.mean == pytest.approx(own - 0.7)
    told = [sentence for sentence in found.sentences if "to every row" in sentence]
    difference = (f"(accuracy 0.7000; {own - 0.7:+.4f}, 95 % interval [{found.floor.over.low:+.4f}, "
                  f"{found.floor.over.high:+.4f}])")
    model = "a model that answers 'yes' to every row"
    assert told == {None: [], "above": [f"The student is above {model}, but within noise {difference}."]}.get(
        words, [f"The student is {words} {model} {difference}: it may have learned nothing of the task."])
    written = json.loads((tmp_path / "run" / "verdict.json").read_text())
    assert Verdict.read(written) == found
    written.pop("floor")
    assert Verdict.read(written).floor is None


def test_one_answer_for_all_rows_is_that_of_the_metric(tmp_path):
    labels = torch.tensor([1] * 60 + [0] * 140)
    answers = {**mostly_yes(0.9), "validation.labels": labels}
    found = verdict_of(write_run(tmp_path / "f1", answers, metric="f1"))
    assert (found.floor.answer, found.floor.score) == ("yes", pytest.approx(2 * 60 / (200 + 60)))
    found = verdict_of(write_run(tmp_path / "matthews", answers, metric="matthews_correlation"))
    assert found.floor.score == 0.0
    ones = {"validation.labels": torch.ones(9, dtype=torch.int64), "validation.teacher": torch.rand(9, 2),
            "validation.student": torch.rand(9, 2)}
    assert verdict_of(write_run(tmp_path / "ones", ones)).floor is None
    rows = {"validation.labels": torch.rand(9), "validation.teacher": torch.rand(9, 1),
            "validation.student": torch.rand(9, 1)}
    assert verdict_of(write_run(tmp_path / "numbers", rows, space="regression", metric="pearson",
                                labels=("score",))).floor is None


def test_test_rows_with_labels_come_before_validation_rows(tmp_path):
    both = {**scored(1), **scored(2, rows=50, split="test")}
    assert (verdict_of(write_run(tmp_path / "one", both)).split) == "test"
    both["test.labels"] = torch.full((50,), -100)
    found = verdict_of(write_run(tmp_path / "two", both))
    assert (found.split, found.rows) == ("validation", 300)
    both["validation.labels"][:100] = -100
    found = verdict_of(write_run(tmp_path / "three", both))
    assert (found.rows, found.labelled_rows) == (300, 200)


def test_without_labels_the_agreement_is_what_can_be_said(tmp_path):
    answers = scored(1)
    answers["validation.labels"] = torch.full((300,), -100)
    run = write_run(tmp_path / "run", answers, speed=False)
    found = verdict_of(run)
    assert (found.labelled_rows, found.student.quality, found.student.ece, found.outcome) == (0, None, None,
                                                                                              "cannot tell")
    assert found.sentences[0] == (
        "Quality is not known: no row with a label was held out. The student answers "
        f"{found.student.agreement:.1%} of 300 validation rows as the teacher does.")
    row = next(line for line in verdict_text(found).splitlines() if line.strip().startswith("student"))
    assert row.split() == ["student", "-", "-", "-", f"{found.student.agreement:.3f}", "-", "-", "-"]
    assert "speed was not measured" in verdict_text(found)
    write_run(run / "baseline", answers, method="none", speed=False)
    assert verdict_of(run).sentences[1] == "Whether distillation helped: cannot tell, no row with a label was held out."


def test_without_any_rows_held_out(tmp_path):
    found = verdict_of(write_run(tmp_path / "run", {}, split=None))
    assert (found.split, found.rows, found.student.quality) == (None, 0, None)
    assert found.sentences[0] == "Quality is not known: no row with a label was held out."
    assert found.student.speed_up == 12.5
    assert verdict_text(found).startswith("quality\n")


def test_a_run_on_labels_alone_has_nothing_to_judge(tmp_path):
    found = verdict_of(write_run(tmp_path / "run", scored(1), method="none"))
    assert found.sentences[1] == "The student learned from labels alone: there was no distillation to judge."


def test_a_number_is_scored_by_correlation(tmp_path):
    generator = np.random.default_rng(0)
    labels = torch.from_numpy(generator.normal(size=200)).float()
    labels[7] = math.nan
    answers = {"validation.labels": labels, "validation.teacher": labels.nan_to_num()[:, None] * 2,
               "validation.student": (labels.nan_to_num() + torch.randn(200)).unsqueeze(1)}
    found = verdict_of(write_run(tmp_path / "run", answers, metric="pearson", labels=("score",), space="regression"))
    known = ~labels.isnan().numpy()
    expected = np.corrcoef(answers["validation.student"].double().numpy()[known, 0], labels.double().numpy()[known])
    assert found.student.quality.mean == pytest.approx(expected[0, 1], abs=1e-6)
    assert found.student.quality.low < found.student.quality.mean < found.student.quality.high
    assert (found.labelled_rows, found.student.ece, found.student.nll, found.student.agreement) == (199, None, None,
                                                                                                    None)
    assert found.teacher.quality.mean == pytest.approx(1.0)


def test_a_teacher_that_is_no_better_than_chance_has_no_share_to_keep(tmp_path):
    answers = scored(1)
    answers["validation.teacher"] = torch.tensor([[4.0, 0.0]]).repeat(300, 1)
    found = verdict_of(write_run(tmp_path / "run", answers, metric="matthews_correlation"))
    assert (found.teacher.quality.mean, found.student.kept) == (0.0, None)
    assert found.sentences[0].startswith("The student has matthews_correlation 0.")


@pytest.mark.parametrize(("over", "words"), [
    ((-0.1, -0.15, -0.05), "The student LOSES to TF-IDF (accuracy -0.1000, 95 % interval [-0.1500, -0.0500]), which "
                           "answers 2.0 times as many texts a second: use that, or train on more text or longer."),
    ((-0.01, -0.05, 0.03), "The student is behind TF-IDF, but within noise (accuracy -0.0100, 95 % interval [-0.0500, "
                           "+0.0300]), which answers 2.0 times as many texts a second."),
    ((0.1, 0.05, 0.15), "The student beats TF-IDF (accuracy +0.1000, 95 % interval [+0.0500, +0.1500])."),
])
def test_a_student_that_loses_to_something_simpler_is_told_so(tmp_path, over, words):
    run = write_run(tmp_path / "run", scored(1))
    interval = dict(zip(("mean", "low", "high"), over, strict=True))
    models = [{"role": "alternative", "name": "TF-IDF", "quality": interval, "over": interval,
               "speed": {**SPEED, "per_second": 2500.0}},
              {"role": "alternative", "name": "fastText", "note": "it is not installed"}]
    (run / "alternatives.json").write_text(json.dumps({"format": 1, "models": models}))
    found = verdict_of(run)
    assert found.sentences[2:] == (words, "fastText: not tried, it is not installed.")
    assert [model.name for model in found.alternatives] == ["TF-IDF", "fastText"]
    assert found.alternatives[0].speed_up == 25.0


def test_a_folder_without_a_finished_run(tmp_path, ukd):
    expected = (f"run '{tmp_path}': expected a finished run (recipe.yaml, metrics.json and answers.safetensors), got a "
                "folder without. Name the --output of a run.")
    with pytest.raises(InputError) as error:
        verdict_of(tmp_path)
    assert str(error.value) == expected
    assert ukd("verdict", tmp_path) == (2, "", f"ukd: {expected}\n")


def test_the_command_prints_and_keeps_the_verdict(tmp_path, ukd):
    run = write_run(tmp_path / "run", scored(1))
    status, out, err = ukd("verdict", run)
    assert (status, err) == (0, "")
    assert out == verdict_text(Verdict.read(json.loads((run / "verdict.json").read_text()))) + "\n"
