"""Suggestions: what is measured, in which order it is told, and the command that comes next."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from ukd_core import BuildContext
from ukd_core.errors import InputError
from ukd_core.plugins import Registry
from ukd_core.run import suggest as module
from ukd_core.run.progress import Reporter
from ukd_core.run.suggest import default_students, suggest

QUIET = Reporter(quiet=True)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Texts without labels: nothing is trained."""
    path = tmp_path / "texts.jsonl"
    rows = [{"text": f"oil prices rose by {number} cents in the north and grain fell"} for number in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_every_adapter_that_builds_takes_part_and_one_transformer_for_all(registry: Registry):
    specs = default_students(registry, None)
    kinds = {spec.partition(":")[0] for spec in specs}
    alike = {name for name, kind in registry.layer_sources.items() if "heads" in kind.Options.model_fields}
    assert kinds == set(registry.layer_sources) - alike | {"bert"}
    assert {"bert:layers=1,hidden=128", "bert:layers=6,hidden=384", "cnn", "bilstm:layers=1,hidden=64"} <= set(specs)
    roberta = registry.layer_sources.lookup("roberta")
    teacher = roberta.__new__(roberta)  # only its kind is looked at
    assert {spec.partition(":")[0] for spec in default_students(registry, teacher)} & alike == {"roberta"}


def test_those_that_fit_come_first_and_the_next_command_names_one_of_each_kind(ukd, data, tmp_path):
    students = "cnn:layers=1,hidden=8,cnn:layers=3,hidden=64,bilstm:layers=1,hidden=8"
    asked = ("suggest", "--data", data, "--students", students, "--cache", tmp_path / "cache", "--max-length", 24)
    status, out, err = ukd(*asked, "--latency-ms", 10_000, "--batch", 2, "--threads", 1)
    assert status == 0, err
    assert out.startswith("p50 and p95 of 2 texts at once, texts/s in batches of 32: CPU, 1 thread, at most 24 tokens, "
                          "from text to answer\n")
    rows = [line.split() for line in out.splitlines() if re.match(r"\s+(cnn|bilstm):", line)]
    assert {row[0] for row in rows} == {"cnn:layers=1,hidden=8", "cnn:layers=3,hidden=64", "bilstm:layers=1,hidden=8"}
    assert all(row[-1] == "yes" and 0 < float(row[3]) <= float(row[4]) for row in rows)
    assert [float(row[4]) for row in rows] == sorted((float(row[4]) for row in rows), reverse=True)
    command = shlex.split(out.splitlines()[-1])
    assert command[:6] == ["ukd", "compare", "--teacher", "TEACHER", "--students", command[5]]
    best = next(row[0] for row in rows if row[0].startswith("cnn"))
    assert sorted(re.split(r",(?=cnn|bilstm)", command[5])) == sorted(["bilstm:layers=1,hidden=8", best])
    assert command[6:] == ["--data", str(data), "--max-length", "24", "--seeds", "1", "--output", "runs/suggested"]
    status, out, _ = ukd(*asked, "--latency-ms", 0)
    assert status == 0
    times = [float(line.split()[4]) for line in out.splitlines() if re.match(r"\s+(cnn|bilstm):", line)]
    assert times == sorted(times)
    assert re.search(r"No candidate answers within 0 ms; the fastest, \S+, takes [\d.]+ ms\. Allow more", out)
    assert "ukd compare" not in out


def test_a_teacher_is_measured_too(registry, data, tmp_path):
    kind = registry.layer_sources.lookup("cnn")
    space = registry.output_spaces.lookup("classes")(("no", "yes"))
    built = kind.build(kind.Options(layers=1, hidden=8), BuildContext(space, ["oil prices rose"], None, 24, 0))
    built.save(tmp_path / "teacher")
    found = suggest(str(data), 10_000, registry, tmp_path / "cache", QUIET, teacher=str(tmp_path / "teacher"),
                    students=("cnn:layers=1,hidden=4,vocabulary=teacher",), max_length=24)
    assert found.teacher is not None and found.teacher.spec == str(tmp_path / "teacher")
    assert found.teacher.parameters == built.num_parameters > found.candidates[0].parameters
    text = found.text(str(data), found.teacher.spec)
    assert f"--teacher {tmp_path / 'teacher'} --students cnn:layers=1,hidden=4,vocabulary=teacher" in text


def test_a_named_student_that_cannot_be_built_is_an_error(ukd, data, tmp_path):
    status, out, err = ukd("suggest", "--data", data, "--latency-ms", 5, "--students", "bert:hidden=10,heads=3",
                           "--cache", tmp_path)
    assert (status, out) == (2, "")
    assert err.splitlines()[-1] == ("ukd: adapter 'bert': expected hidden to be a multiple of heads, got hidden=10 and "
                                    "heads=3. Change one of them.")


def test_default_students_that_cannot_be_built_are_left_out(registry, data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "default_students", lambda *_: ["bert:hidden=10,heads=3"])
    with pytest.raises(InputError) as error:
        suggest(str(data), 5, registry, tmp_path, Reporter())
    assert str(error.value) == ("ukd suggest: expected an adapter that builds a new student, got none that could. "
                                "Name students with --students.")
    assert "bert:hidden=10,heads=3: left out, adapter 'bert': expected hidden" in capsys.readouterr().err
