"""Which runs a comparison has, where they go, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from ukd_core.errors import InputError
from ukd_core.plugins import Registry
from ukd_core.run.compare import Grid
from ukd_core.run.compare.constant import best_constant
from ukd_core.run.compare.grid import Cell
from ukd_core.run.compare.runs import board
from ukd_core.run.compare.summary import MethodRow, Summary, constant_note
from ukd_core.run.progress import Reporter
from ukd_core.spec import split_specs

SETTINGS = {"teacher": "bert", "data": "d.csv", "epochs": 2}


def grid_of(output: Path | str, students=("cnn", "bilstm"), methods=("logit-kd",), seeds=2, **changes: object) -> Grid:
    return Grid.make({**SETTINGS, **changes}, students, methods, seeds, output)


@pytest.mark.parametrize(("text", "students"), [
    ("cnn", ["cnn"]),
    ("cnn,bilstm", ["cnn", "bilstm"]),
    ("bilstm:layers=2,hidden=64,cnn:layers=3", ["bilstm:layers=2,hidden=64", "cnn:layers=3"]),
    ("bert:layers=2,init=teacher-lower, runs/a", ["bert:layers=2,init=teacher-lower", "runs/a"]),
    ("./x,bilstm:hidden=8,cnn,", ["./x", "bilstm:hidden=8", "cnn"]),
    ("x:sizes=[1,2],deep=true,y", ["x:sizes=[1,2],deep=true", "y"]),
    ("", []),
])
def test_students_between_commas(text, students):
    assert list(split_specs(text)) == students


def test_every_student_by_every_method_by_every_seed_with_the_baseline_first():
    cells = [tuple(cell) for cell in grid_of("o", methods=("logit-kd", "none"))]
    assert cells == [(student, method, seed) for seed in (0, 1) for student in ("cnn", "bilstm")
                     for method in ("none", "logit-kd")]
    assert len(grid_of("o", methods=("logit-kd", "universal-kd"))) == 12


def test_recipes_differ_in_the_cell_alone():
    grid = grid_of("o")
    recipes = [grid.recipe(cell).written() for cell in grid]
    assert {key for key in recipes[0] if len({str(recipe[key]) for recipe in recipes}) > 1} == {
        "student", "method", "seed", "output"}


def test_folders_are_readable_and_all_different():
    students = ("bert:layers=2,init=teacher-lower", "bert:layers=2,init=teacher-lower ", "/a/b", "/a-b", "x" * 300)
    folders = [grid.folder(cell) for grid in [grid_of("o", students=students)] for cell in grid]
    assert len(set(folders)) == len(folders)
    assert all(len(part) < 80 for folder in folders for part in folder.parts)
    assert folders[0].as_posix().startswith("o/runs/bert-layers=2-init=teacher-lower-")


@pytest.mark.parametrize(("changes", "problem"), [
    ({"students": ()}, "ukd compare: expected --students with different names, got none. Give --students A,B,..."),
    ({"students": ("cnn", "cnn")}, "ukd compare: expected --students with different names, got cnn twice. "
                                   "Give --students A,B,..."),
    ({"methods": ("dih", "dih")}, "ukd compare: expected --methods with different names, got dih twice. "
                                  "Give --methods A,B,..."),
    ({"methods": ()}, "ukd compare: expected --methods with different names, got none. Give --methods A,B,..."),
    ({"epoch": 3}, "ukd compare: no option 'epoch'."),
])
def test_what_is_no_grid(changes, problem):
    with pytest.raises(InputError) as refused:
        grid_of("o", **changes)
    assert str(refused.value).startswith(problem)


def test_a_comparison_may_grow_but_not_change(tmp_path: Path):
    folder = tmp_path / "c"
    grid_of(folder).claim()
    assert yaml.safe_load((folder / "comparison.yaml").read_text())["epochs"] == 2.0
    grid_of(folder, students=("bert",), methods=("dih",), seeds=9).claim()
    with pytest.raises(InputError) as refused:
        grid_of(folder, epochs=3, batch_size=4).claim()
    assert str(refused.value) == (f"output '{folder}': expected the comparison that it holds, got another batch_size, "
                                  "epochs. Choose another folder.")


def test_a_folder_with_other_files_is_refused(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError) as refused:
        grid_of(tmp_path).claim()
    assert str(refused.value) == (f"output '{tmp_path}': it holds files that are not a comparison. "
                                  "Choose another folder.")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_method_may_come_with_a_projector():
    named = split_specs("universal-kd@random:draws=1,seed=3,pkd+universal,logit-kd")
    assert named == ("universal-kd@random:draws=1,seed=3", "pkd+universal", "logit-kd")
    grid = grid_of("o", students=("cnn",), methods=named, seeds=1)
    recipes = [grid.recipe(cell) for cell in grid]
    assert [(recipe.method, recipe.projector) for recipe in recipes] == [
        ("none", None), ("universal-kd", "random:draws=1,seed=3"), ("pkd+universal", None), ("logit-kd", None)]
    names = [grid.folder(cell).parent.name for cell in grid]
    assert names[0] == "none" and names[2:] == ["pkd+universal", "logit-kd"]
    assert names[1].startswith("universal-kd-random-draws=1-seed=3-")


def test_the_board_shows_the_means_so_far():
    grid = grid_of("o", methods=("logit-kd",), seeds=2)
    scores = {Cell("cnn", "none", 0): 0.5, Cell("cnn", "none", 1): 0.75, Cell("bilstm", "logit-kd", 0): 0.9}
    done = {cell: {"metric": "f1", "student": {"metrics": {"accuracy": 0.1, "f1": score}}}
            for cell, score in scores.items()}
    lines = board(grid, done).splitlines()
    assert lines[0].strip() == "3 of 8 runs"
    cells = [line.split() for line in lines if "none" in line or "logit-kd" in line]
    assert cells == [["none", "0.6250", "(2)"], ["logit-kd", "0.9000", "(1)"]]


def test_the_board_is_redrawn_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    with Reporter().board() as show:
        show("a table")
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    reporter = Reporter()
    with reporter.board() as show:
        show("a table")
        reporter.say("a line")
        show("another table")
    told = capsys.readouterr().err
    assert [told.index(text) for text in ("a table", "a line", "another table")] == sorted(
        told.index(text) for text in ("a table", "a line", "another table"))


def test_a_bar_in_a_name_does_not_end_a_cell():
    row = MethodRow("bert:./a|b", "none", (0.5,), 1, {}, None, 2.0)
    assert r"| bert:./a\|b | none | 0.5000 | 1 |  |  |  | 2 |" in Summary("title", (), (row,)).markdown().splitlines()


@pytest.mark.parametrize(("scores", "words"), [
    ({"none": 0.8, "pkd": 0.9}, "every method is above that"),
    ({"none": 0.5, "pkd": 0.7}, "no method is above that"),
    ({"none": 0.7, "pkd": 0.71}, "not above that: none (cnn)"),
])
def test_methods_are_held_against_one_answer_for_all_rows(registry: Registry, scores: dict[str, float], words: str):
    space = registry.output_spaces.lookup("classes")(("no", "yes"))
    rows = [MethodRow("cnn", method, (score - 0.1, score + 0.1), 1, {}, None, 2.0) for method, score in scores.items()]
    constant = best_constant(space, np.array([1] * 7 + [0] * 3))
    assert list(constant_note(constant, space, rows)) == [
        f"'yes' as the answer to every row has accuracy 0.7000; {words}."]
    assert list(constant_note(None, space, rows)) == []


def test_a_metric_without_a_value_for_one_answer_gives_no_floor(registry: Registry):
    kind = registry.output_spaces.lookup("classes")
    members = {name: member for name, member in vars(kind).items() if name not in ("__dict__", "__weakref__")}
    odd = type("Odd", kind.__bases__, {**members, "primary_metric": "odd",
                                       "metrics": lambda self, given, true: {"odd": float("nan")}})
    assert best_constant(odd(("no", "yes")), np.array([0, 1, 1])) is None
