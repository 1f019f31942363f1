"""How the command line ends: one line for what a user can mend, and a status that says what happened."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer

import ukd_core.testing
from ukd_core import Recipe
from ukd_core.cli import main

Command = Callable[..., tuple[int, str, str]]
METRICS = {
    "format": 1, "method": "none", "seed": 3, "evaluated_on": None, "layer_accuracy": [], "teacher_rows_forwarded": 7,
    "seconds": {"train": 1.25},
    "teacher": {"name": "bert", "layers": 2, "parameters": 1234, "metrics": {}},
    "student": {"name": "cnn", "layers": 1, "parameters": 56, "metrics": {}}}


@pytest.fixture
def complete(tmp_path: Path) -> Path:
    """The folder of a run that has ended."""
    run = tmp_path / "run"
    run.mkdir()
    Recipe.make({"teacher": "bert", "student": "cnn", "data": "d.csv", "output": str(run)}).write(run / "recipe.yaml")
    (run / "metrics.json").write_text(json.dumps(METRICS))
    return run


def test_a_complete_run_is_told_again(ukd: Command, complete: Path):
    before = {path.name: path.stat().st_mtime_ns for path in complete.iterdir()}
    status, out, err = ukd("distill", "--resume", "--output", complete)
    assert (status, err) == (0, f"run '{complete}' is complete\n")
    lines = out.splitlines()
    assert lines[0] == "none, seed 3"
    assert [line.split() for line in lines[:-3] if line.split()[:1] in (["teacher"], ["student"])] == [
        ["teacher", "bert", "2", "1,234"], ["student", "cnn", "1", "56"]]
    assert lines[-3:] == ["teacher rows forwarded: 7", "seconds: train 1.2", f"run folder: {complete}"]
    assert {path.name: path.stat().st_mtime_ns for path in complete.iterdir()} == before


def test_scores_of_a_run_are_told_with_the_split_that_they_are_of(ukd: Command, complete: Path):
    scored = {**METRICS, "evaluated_on": "test", "layer_accuracy": [0.5, None]}
    for side, accuracy in (("teacher", 0.75), ("student", 0.7)):
        scored[side] = {**METRICS[side], "metrics": {"accuracy": accuracy}}  # type: ignore[dict-item]
    (complete / "metrics.json").write_text(json.dumps(scored))
    out = ukd("distill", "--resume", "--output", complete)[1]
    assert out.startswith("none, seed 3, scored on test\n")
    assert "0.7500" in out and "0.7000" in out
    assert "teacher by layer: 0.500 -\n" in out


def test_nothing_to_resume(ukd: Command, tmp_path: Path):
    assert ukd("distill", "--resume", "--output", tmp_path / "run") == (
        2, "", f"ukd: recipe '{tmp_path / 'run' / 'recipe.yaml'}': no such file.\n")
    assert list(tmp_path.iterdir()) == []


def test_a_plugin_that_is_not_there(ukd: Command, tmp_path: Path):
    status, out, err = ukd("distill", "--teacher=bert", "--student=cnn", "--data=d.csv", f"--output={tmp_path / 'run'}",
                           "--plugin", tmp_path / "mine.py")
    assert (status, out) == (2, "")
    assert err.startswith("ukd: plug-in 'mine': expected a Python file '")
    assert list(tmp_path.iterdir()) == []


def test_a_stop_by_hand_says_how_to_go_on(ukd: Command, tmp_path: Path):
    (tmp_path / "slow.py").write_text("raise KeyboardInterrupt")
    assert ukd("methods", "--plugin", tmp_path / "slow.py") == (
        130, "", "ukd: stopped; what is complete is kept. Run the same command again.\n")


@pytest.mark.parametrize("told", [KeyboardInterrupt, typer.Abort])
def test_a_stop_is_told_alike_by_every_version_of_typer(ukd: Command, monkeypatch: pytest.MonkeyPatch,
                                                        told: type[BaseException]):
    """Some versions answer Ctrl-C with a status, others pass it on, as itself or as an exception of theirs."""
    def stopped(**_: object) -> None:
        raise told

    monkeypatch.setattr("ukd_core.cli.app", stopped)
    assert ukd("methods") == (
        130, "", "ukd: stopped; what is complete is kept. Run the same command again.\n")


def test_the_demo_is_told_where_to_write(ukd: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    asked = []
    monkeypatch.setattr("ukd_core.run.demo.demo", lambda *folders: asked.append(folders) or "the table")
    assert ukd("demo", "--output", tmp_path / "runs", "--cache", tmp_path / "kept") == (0, "the table\n", "")
    assert asked == [(tmp_path / "runs", tmp_path / "kept")]


def test_a_file_that_fails_is_named(ukd: Command, tmp_path: Path):
    for name in ("1def", "1def.lock"):
        (tmp_path / "teachers" / name).mkdir(parents=True)
    lock = tmp_path / "teachers" / "1def.lock"
    assert ukd("cache", "remove", "1def", "--cache", tmp_path) == (2, "", f"ukd: {lock}: Is a directory.\n")
    assert (tmp_path / "teachers" / "1def").is_dir()


def test_output_that_nobody_can_take(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "argv", ["ukd", "methods"])
    monkeypatch.setattr(sys, "stdout", Full())
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "ukd: files: No space left on device.\n"


@contextmanager
def lacking(absent: str) -> Iterator[None]:
    """The kit is imported anew, in a Python without this module."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in sys.modules if name.split(".")[:2] == ["ukd_core", "testing"]]:
            patch.delitem(sys.modules, name)
        patch.setitem(sys.modules, absent, None)
        yield


def test_the_kit_needs_hypothesis(ukd: Command):
    assert ukd_core.testing.run_case  # so that all of it was imported before
    with lacking("hypothesis"):
        answer = ukd("plugins", "check", "linear")
    assert answer == (2, "", "ukd: ukd plugins check: expected Hypothesis to be installed, got no such package. "
                             "Install it with: pip install 'ukd[testing]'.\n")


def test_another_module_that_lacks_is_not_taken_for_hypothesis(ukd: Command):
    assert ukd_core.testing.run_case
    with lacking("ukd_core.testing.texts"), pytest.raises(ModuleNotFoundError, match=r"ukd_core\.testing\.texts"):
        ukd("plugins", "check", "linear")
