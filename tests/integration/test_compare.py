"""Whole comparisons: every run, the tables, and how they go on after a stop."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pytest
from safetensors.numpy import load_file

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def compare(ukd: Command, news: Path, cache: Path, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    def run(*more: object, students: str = "cnn:layers=1,hidden=16,bilstm:layers=1,hidden=8", seeds: int = 2
            ) -> tuple[int, str, str]:
        return ukd("compare", "--teacher", "cnn", "--students", students, "--data", news, "--seeds", seeds,
                   "--output", tmp_path / "c", "--cache", cache, "--max-length", 24, "--epochs", 1,
                   "--teacher-epochs", 2, "--device", "cpu", *more)

    return run


def test_a_grid_of_runs_becomes_two_tables(compare, tmp_path: Path):
    status, out, err = compare("--methods", "logit-kd,universal-kd")
    assert status == 0, err
    folder = tmp_path / "c"
    with (folder / "runs.csv").open(newline="", encoding="utf-8") as file:
        runs = list(csv.DictReader(file))
    assert len(runs) == 2 * 3 * 2
    assert datasets.Dataset.from_parquet(str(folder / "runs.parquet")).num_rows == 12
    assert [run["method"] for run in runs[:3]] == ["none", "logit-kd", "universal-kd"]
    assert sum(int(run["teacher_rows_forwarded"]) > 0 for run in runs) <= 1  # the teacher ran for the first run alone
    for run in runs:
        kept = folder / run["folder"]
        metrics = json.loads((kept / "metrics.json").read_text())
        stored = load_file(kept / "answers.safetensors")
        split = run["split"]
        right = stored[f"{split}.student"].argmax(-1) == stored[f"{split}.labels"]
        assert float(run["accuracy"]) == pytest.approx(right.mean()) == metrics["student"]["metrics"]["accuracy"]
        same = stored[f"{split}.student"].argmax(-1) == stored[f"{split}.teacher"].argmax(-1)
        assert float(run["agreement"]) == pytest.approx(same.mean())
    summary = (folder / "summary.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in summary.splitlines()
            if line.startswith("| cnn") or line.startswith("| bilstm")]
    assert [(row[0].partition(":")[0], row[1]) for row in rows] == [
        (student, method) for student in ("cnn", "bilstm") for method in ("none", "logit-kd", "universal-kd")]
    for row in rows:
        scores = [float(run["accuracy"]) for run in runs if (run["student"], run["method"]) == (row[0], row[1])]
        assert row[2] == f"{np.mean(scores):.4f} ± {np.std(scores, ddof=1):.4f}"
        assert (row[4] == "") == (row[1] == "none") and (row[5] == "") == (row[1] != "universal-kd")
        assert re.fullmatch(r"([+-]0\.\d{4} (helped|within noise|did not help) \[[+-]0\.\d{4}, [+-]0\.\d{4}\])?",
                            row[4])
    assert sorted(row[3] for row in rows[:3]) == ["1", "2", "3"]
    truth = stored[f"{split}.labels"]
    floor = max((truth == label).mean() for label in np.unique(truth))
    below = [f"{row[1]} ({row[0]})" for row in rows
             if np.mean([float(run["accuracy"]) for run in runs if (run["student"], run["method"]) == (row[0], row[1])]
                        ) <= floor]
    which = "every method is above that" if not below else f"not above that: {', '.join(below)}"
    if len(below) == len(rows):
        which = "no method is above that"
    assert re.search(rf"\n'\w+' as the answer to every row has accuracy {floor:.4f}; {re.escape(which)}\.\n", summary)
    assert "teacher cnn" in out and "passes in batches of 32" in out


def test_one_pass_serves_methods_on_scores_and_on_states(compare, tmp_path: Path):
    status, _, err = compare("--methods", "pkd,takd,universal-kd", "--cache", tmp_path / "cache", seeds=1,
                             students="cnn:layers=1,hidden=16")
    assert status == 0, err
    with (tmp_path / "c" / "runs.csv").open(newline="", encoding="utf-8") as file:
        forwarded = {run["method"]: int(run["teacher_rows_forwarded"]) for run in csv.DictReader(file)}
    assert forwarded["none"] > 0 and forwarded["pkd"] == forwarded["universal-kd"] == 0
    assert forwarded["takd"] == forwarded["none"]  # those of its assistant


def test_it_goes_on_where_it_was_and_may_grow(compare, tmp_path: Path):
    students = "cnn:layers=1,hidden=16"
    assert compare("--methods", "none", students=students, seeds=1)[0] == 0
    (metrics,) = tmp_path.glob("c/runs/*/none/seed-0/metrics.json")
    before = metrics.stat().st_mtime_ns
    status, _, err = compare("--methods", "logit-kd", students=students, seeds=2)
    assert status == 0, err
    assert metrics.stat().st_mtime_ns == before
    assert len(list(tmp_path.glob("c/runs/*/*/*/metrics.json"))) == 4
    assert "4/4 cnn:layers=1,hidden=16, logit-kd, seed 1: accuracy" in err


def test_runs_in_processes_are_the_same_runs(compare, tmp_path: Path):
    students = "cnn:layers=1,hidden=16"
    status, _, err = compare("--methods", "logit-kd", "--jobs", 2, students=students)
    assert status == 0, err
    assert len(list(tmp_path.glob("c/runs/*/*/*/metrics.json"))) == 4
    assert not list(tmp_path.glob("c/runs/*/*/*.yaml"))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("c/runs/*/*/*/metrics.json")}
    assert compare("--methods", "logit-kd", "--jobs", 2, students=students)[0] == 0
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.glob("c/runs/*/*/*/metrics.json")}


KILLER = """
import os

from ukd_core import Method, Phase, Term, TermSpec, hookimpl


class Killer(Term):
    name = "killer"

    def forward(self, batch):
        os.kill(os.getpid(), 9)


@hookimpl
def ukd_register_terms():
    return [Killer]


@hookimpl
def ukd_register_methods():
    return [Method(name="killer", summary="s", source="none.",
                   phases=(Phase(name="distil", terms=(TermSpec(term="killer"),)),))]
"""


def test_a_run_that_died_in_its_process_is_named(compare, tmp_path: Path):
    (tmp_path / "killer.py").write_text(KILLER)
    students = "cnn:layers=1,hidden=16"
    status, _, err = compare("--methods", "killer", "--jobs", 2, "--plugin", tmp_path / "killer.py", students=students,
                             seeds=1)
    assert status == 2
    (folder,) = tmp_path.glob("c/runs/*/none/seed-0")
    killed = folder.parents[1] / "killer" / "seed-0"
    assert err.splitlines()[-1] == (f"ukd: run '{killed}': exit status -9: no word of why. "
                                    "Start the same comparison again to go on.")


@pytest.mark.parametrize(("more", "problem"), [
    (["--methods", "magic"], "ukd: method 'magic': no such method. Available: "),
    (["--methods", "logit-kd", "--projector", "magic"], "ukd: projector 'magic': no such projector. Available: "),
    (["--validation-fraction", "2"], "ukd: ukd compare: option 'validation_fraction' has a wrong value: "),
])
def test_bad_input_is_one_line_before_anything_runs(compare, more, problem, tmp_path: Path):
    status, out, err = compare(*more)
    assert (status, out) == (2, "")
    assert err.startswith(problem) and len(err.splitlines()) == 1
    assert not (tmp_path / "c").exists()


def test_teacher_and_data_must_be_named(ukd: Command, tmp_path: Path):
    assert ukd("compare", "--students", "cnn", "--output", tmp_path / "c") == (
        2, "", "ukd: ukd compare: missing --teacher, --data. Give the options.\n")


def test_without_rows_to_score_on_nothing_runs(compare, news: Path, tmp_path: Path):
    status, out, err = compare("--data", news / "train.jsonl", "--validation-fraction", 0)
    assert (status, out) == (2, "")
    assert err == ("ukd: ukd compare: expected labelled validation or test rows, got none. Give the data a validation "
                   "or test file, or --validation-fraction.\n")
    assert not (tmp_path / "c").exists()


def test_what_went_wrong_in_a_process_is_said(compare, tmp_path: Path):
    students = "cnn:layers=1,hidden=16"
    assert compare("--methods", "none", students=students, seeds=1)[0] == 0
    (folder,) = tmp_path.glob("c/runs/*/none")
    (folder / "seed-1").mkdir()
    (folder / "seed-1" / "thesis.txt").write_text("mine")
    status, _, err = compare("--methods", "none", "--jobs", 2, students=students, seeds=2)
    assert status == 2
    assert err.splitlines()[-1].startswith(f"ukd: run '{folder / 'seed-1'}': exit status 2: output '")
    assert (folder / "seed-1" / "thesis.txt").read_text() == "mine"
