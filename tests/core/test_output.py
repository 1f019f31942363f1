"""Which folders a run may write, and what a refused run leaves as it was."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ukd_core import Recipe
from ukd_core.errors import InputError
from ukd_core.run.output import claim_output, finished_metrics, open_output, same_inputs, usable_cache


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return Recipe.make({"teacher": "bert", "student": "cnn", "data": "d.csv", "output": str(tmp_path / "run")})


@pytest.fixture
def begun(tmp_path: Path, recipe: Recipe) -> Path:
    """The folder of a run that was started and stopped."""
    return open_output(tmp_path / "run", recipe, overwrite=False)


def no_rights(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """As for a user who may not write there; whoever runs the tests as root may write everywhere."""
    asked = os.access
    patch.setattr(os, "access", lambda path, mode: Path(path) != folder and asked(path, mode))


def refused(folder: Path, recipe: Recipe, text: str, *, overwrite: bool = False, resume: bool = False) -> None:
    """`claim_output` says this text and changes nothing."""
    before = {path: path.stat().st_mtime_ns for path in folder.parent.rglob("*")}
    with pytest.raises(InputError) as caught:
        claim_output(folder, recipe, overwrite=overwrite, resume=resume)
    assert str(caught.value) == f"output '{folder}': {text}"
    assert {path: path.stat().st_mtime_ns for path in folder.parent.rglob("*")} == before


@pytest.mark.parametrize("folder", ["run", "run/seed/0", "empty"])
def test_a_new_or_empty_folder_is_free(tmp_path: Path, recipe: Recipe, folder: str):
    (tmp_path / "empty").mkdir()
    claim_output(tmp_path / folder, recipe, overwrite=False, resume=False)
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]


def test_overwrite_and_resume_exclude_each_other(begun: Path, recipe: Recipe):
    refused(begun, recipe, "expected one of --overwrite and --resume, got both.", overwrite=True, resume=True)


def test_a_file_is_no_folder(tmp_path: Path, recipe: Recipe):
    (tmp_path / "run").write_text("mine")
    for overwrite in (False, True):
        refused(tmp_path / "run", recipe, "expected a folder, got a file.", overwrite=overwrite)
    refused(tmp_path / "run" / "a" / "b", recipe,
            f"expected a folder, got the file '{tmp_path / 'run'}' on the way to it.")


def test_a_folder_without_rights(tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch):
    no_rights(monkeypatch, tmp_path)
    refused(tmp_path / "a" / "run", recipe, f"no permission to write in '{tmp_path}'.")


@pytest.mark.parametrize("made", [False, True])
def test_nothing_to_resume(tmp_path: Path, recipe: Recipe, made: bool):
    if made:
        (tmp_path / "run").mkdir()
    refused(tmp_path / "run", recipe, "expected a run to resume, got none. Leave out --resume to start it.",
            resume=True)


@pytest.mark.parametrize("how", [{}, {"overwrite": True}, {"resume": True}])
def test_a_folder_of_other_things_is_never_touched(tmp_path: Path, recipe: Recipe, how: dict[str, bool]):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("do not touch")
    refused(tmp_path / "run", recipe, "the folder holds files that are not a run. Choose another folder.", **how)


def test_a_run_is_neither_replaced_nor_continued_unasked(begun: Path, recipe: Recipe):
    refused(begun, recipe, "it already holds a run. Add --overwrite to replace it or --resume to continue it.")
    claim_output(begun, recipe, overwrite=True, resume=False)
    claim_output(begun, recipe, overwrite=False, resume=True)


def test_a_run_is_resumed_with_its_own_recipe(begun: Path, recipe: Recipe):
    other = recipe.model_copy(update={"epochs": 9.0, "seed": 4, "device": "cpu", "cache": "elsewhere"})
    refused(begun, other, "expected the recipe of the run to resume, got another epochs, seed. "
                          "Resume with the same options, or use --overwrite.", resume=True)
    claim_output(begun, recipe.model_copy(update={"device": "cpu", "cache": "elsewhere", "rebuild_damaged": True}),
                 overwrite=False, resume=True)


def test_overwriting_leaves_nothing_of_the_old_run(begun: Path, recipe: Recipe):
    (begun / "metrics.json").write_text('{"format": 1, "seed": 0}')
    assert finished_metrics(begun) == {"format": 1, "seed": 0}
    open_output(begun, recipe, overwrite=True)
    assert finished_metrics(begun) is None
    assert [path.name for path in begun.iterdir()] == ["recipe.yaml"]


def test_a_cache_that_cannot_be_made_or_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert usable_cache(tmp_path / "new" / "cache").is_dir()
    (tmp_path / "file").write_text("")
    for folder, reason in ((tmp_path / "file", "File exists"), (tmp_path / "file" / "in", "Not a directory")):
        with pytest.raises(InputError) as caught:
            usable_cache(folder)
        assert str(caught.value) == (f"cache '{folder}': the folder cannot be made: {reason}. "
                                     "Name another with --cache.")
    no_rights(monkeypatch, tmp_path / "new")
    with pytest.raises(InputError) as caught:
        usable_cache(tmp_path / "new")
    assert str(caught.value) == (f"cache '{tmp_path / 'new'}': no permission to write in it. "
                                 "Name another with --cache.")


def test_a_run_goes_on_with_the_same_inputs_only(begun: Path):
    same_inputs(begun, {"scores": "a"})
    same_inputs(begun, {"scores": "a"})
    note = (begun / "checkpoints" / "inputs.json").read_text()
    with pytest.raises(InputError) as caught:
        same_inputs(begun, {"scores": "b"})
    assert str(caught.value) == (f"output '{begun}': the data or the teacher's answers changed since the run was "
                                 "stopped. Use --overwrite to start anew.")
    assert [path.name for path in (begun / "checkpoints").iterdir()] == ["inputs.json"]
    assert (begun / "checkpoints" / "inputs.json").read_text() == note
    shutil.rmtree(begun / "checkpoints")
    same_inputs(begun, {"scores": "b"})
