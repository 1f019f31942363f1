"""Everything that is kept has a version; what has another one is refused in one line that says what to do."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ukd_core import formats
from ukd_core.errors import InputError
from ukd_core.formats import Format, read_json
from ukd_core.run.compare.grid import read_note
from ukd_core.run.fingerprint import fingerprint
from ukd_core.run.verdict import Verdict

Command = Callable[..., tuple[int, str, str]]
OLD_RUN = Path(__file__).parents[1] / "fixtures" / "old_run"
SAME_TORCH = pytest.mark.skipif(torch.__version__ != "2.13.0+cpu", reason="the answers of another torch are others")
BOX = Format("a box", 2, "Make it again.")


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what an earlier version wrote, as the current folder: its recipes name their files relative to it."""
    shutil.copytree(OLD_RUN, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    monkeypatch.setenv("UKD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "old"


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def seal(path: Path, **values: Any) -> None:
    """A manifest with other values and the checksum that goes with them."""
    found = {**json.loads(path.read_text()), **values}
    found.pop("sha256")
    digest = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps({**found, "sha256": digest}, indent=1) + "\n")


@pytest.mark.parametrize(("values", "found"), [
    ({"format": 1}, "got format 1 of an older version. Make it again."),
    ({"format": 3}, "got format 3 of a newer version. Update UKD; or: Make it again."),
    ({"format": -1}, "got format -1 of an older version. Make it again."),
    ({}, "got none. Make it again."), ({"format": None}, "got none. Make it again."),
    ({"format": "2"}, "got '2'. Make it again."), ({"format": 2.0}, "got 2.0. Make it again."),
    ({"format": [2]}, "got [2]. Make it again."), ({"format": "x" * 99}, f"got '{'x' * 39}. Make it again."),
])
def test_another_version_is_refused(values: dict[str, Any], found: str):
    with pytest.raises(InputError) as caught:
        BOX.check("here", values)
    assert str(caught.value) == f"here: expected a box of format 2, {found}"


def test_true_is_no_version():
    with pytest.raises(InputError, match=r"expected a run of format 1, got True"):
        formats.RUN.check("here", {"format": True})


def test_what_is_marked_is_read(tmp_path: Path):
    assert BOX.mark({"a": 1}) == {"format": 2, "a": 1}
    (tmp_path / "box.json").write_text(json.dumps(BOX.mark({"a": 1})))
    assert BOX.read(tmp_path / "box.json", "here") == {"format": 2, "a": 1}
    Format("a box", 1, "", unmarked=1).check("here", {})


@pytest.mark.parametrize(("content", "text"), [
    (b"[1]", "expected an object in box.json, got list"), (b"{", "expected JSON in box.json, got: Expecting property"),
    (b"[" * 200_000, "expected JSON in box.json, got values nested too deeply"),
    (b"\xff", "expected JSON in box.json, got: 'utf-8' codec"), (None, "expected a file box.json, got none"),
])
def test_a_file_that_is_no_object(tmp_path: Path, content: bytes | None, text: str):
    if content is not None:
        (tmp_path / "box.json").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_json(tmp_path / "box.json", "here", "Make it again.")
    assert str(caught.value).startswith(f"here: {text}") and str(caught.value).endswith(". Make it again.")


# --- What an earlier version wrote ------------------------------------------------------------------------------------

@pytest.mark.parametrize("model", ["run", "run/student", "onnx"])
def test_an_old_model_answers_as_it_did(ukd: Command, old: Path, model: str):
    status, out, err = ukd("predict", model, "texts.txt")
    assert status == 0, err
    stored = [json.loads(line) for line in (old / "answers.jsonl").read_text().splitlines()]
    for found, before in zip(map(json.loads, out.splitlines()), stored, strict=True):
        assert (found["text"], found["label"]) == (before["text"], before["label"])
        assert found["scores"] == pytest.approx(before["scores"], abs=1e-5)


def test_an_old_run_is_scored_judged_and_reported(ukd: Command, old: Path):
    status, out, err = ukd("eval", "run", "--data", "data.csv")
    assert status == 0, err
    assert json.loads(out)["accuracy"] == 0.9
    status, out, err = ukd("verdict", "run")
    assert status == 0, err
    assert "The student keeps 100.0% of the teacher's accuracy" in out
    assert Verdict.read(json.loads((old / "run" / "verdict.json").read_text())).student.quality is not None
    for folder in ("run", "compared"):
        status, out, err = ukd("report", folder)
        assert (status, out) == (0, f"{folder}/report.html\n"), err


def test_an_old_run_is_complete(ukd: Command, old: Path):
    status, out, err = ukd("distill", "--recipe", "run/recipe.yaml", "--resume")
    assert (status, err) == (0, "run 'run' is complete\n")
    assert "universal-kd, seed 0, scored on validation" in out


def test_old_teacher_answers_are_whole(ukd: Command, old: Path):
    assert ukd("cache", "verify", "--cache", "cache")[:2] == (0, "9b9abbdcbab263f56c18846f11ad0850: ok\n")


@SAME_TORCH
def test_an_old_teacher_and_its_answers_are_found_again(ukd: Command, old: Path):
    """What decides them is counted as it was: the second run costs what it cost then."""
    status, _, err = ukd("distill", "--recipe", "run/recipe.yaml", "--output", "again", "--no-speed", "--no-check",
                         "--epochs", 1)
    assert status == 0, err
    assert "teacher: reused, trained before" in err and "teacher answers: reused from cache/answers" in err
    assert json.loads((old / "again" / "student" / "config.json").read_text())["ukd_format"] == 1


# --- Doctored: as if a later version had written it -------------------------------------------------------------------

def newer(what: str, version: int, remedy: str) -> str:
    return f"expected {what} of format {version}, got format 99 of a newer version. Update UKD; or: {remedy}\n"


@pytest.mark.parametrize("command", [("verdict", "run"), ("report", "run"),
                                     ("distill", "--recipe", "run/recipe.yaml", "--resume")])
def test_a_newer_run_is_refused(ukd: Command, old: Path, command: tuple[str, ...]):
    change(old / "run" / "metrics.json", format=99)
    assert ukd(*command) == (2, "", "ukd: run 'run': " + newer("a run", 1, "Do the run again with --overwrite."))


def test_a_newer_student_is_refused(ukd: Command, old: Path):
    change(old / "run" / "student" / "config.json", ukd_format=99)
    assert ukd("predict", "run", "texts.txt") == (
        2, "", "ukd: model 'run': " + newer("a model folder", 1, "Train or export it again."))


@SAME_TORCH
def test_a_newer_teacher_in_the_cache_is_refused(ukd: Command, old: Path):
    entry = Path("cache/teachers/86bd77230e85b9aa8091268360b65674")
    change(entry / "config.json", ukd_format=99)
    assert ukd("distill", "--recipe", "run/recipe.yaml", "--output", "again", "--no-check")[2].endswith(
        f"ukd: teacher '{entry}': " + newer("a model folder", 1, "Train or export it again."))


def test_a_newer_exported_folder_is_refused(ukd: Command, old: Path):
    change(old / "onnx" / "ukd.json", format=99)
    assert ukd("predict", "onnx", "texts.txt") == (
        2, "", "ukd: model 'onnx': " + newer("an exported folder", 1, "Export it again with ukd export."))


def test_a_newer_comparison_is_refused(ukd: Command, old: Path):
    note = old / "compared" / "comparison.yaml"
    note.write_text("format: 99\n" + note.read_text())
    assert ukd("report", "compared") == (
        2, "", "ukd: comparison 'compared': " + newer("a comparison", 1, "Compare again into another folder."))


@pytest.mark.parametrize(("content", "text"), [
    ("[", "expected a readable comparison.yaml, got: while parsing"),
    ("- 1", "expected keys and values in comparison.yaml, got list. Compare again into another folder."),
])
def test_a_note_that_is_none(tmp_path: Path, content: str, text: str):
    (tmp_path / "comparison.yaml").write_text(content)
    with pytest.raises(InputError) as caught:
        read_note(tmp_path)
    assert str(caught.value).startswith(f"comparison '{tmp_path}': {text}")


def test_newer_alternatives_are_refused(ukd: Command, old: Path):
    path = old / "run" / "alternatives.json"
    path.write_text(json.dumps({"format": 99, "models": []}))
    assert ukd("verdict", "run") == (2, "", "ukd: run 'run': " + newer(
        "alternatives", 1, "Try them again: remove alternatives.json, then ukd verdict --alternatives."))
    path.write_text(json.dumps({"format": 1, "models": [{"role": "alternative", "name": "x", "evil": 1}]}))
    assert "expected a list of models in alternatives.json, got something else" in ukd("verdict", "run")[2]


def test_a_newer_verdict_is_refused():
    with pytest.raises(InputError, match=r"expected a verdict of format 1, got format 99 of a newer version\. Update "
                                         r"UKD; or: Make it again with ukd verdict\."):
        Verdict.read({"format": 99})


def test_newer_teacher_answers_are_refused(ukd: Command, old: Path):
    (entry,) = (old / "cache" / "answers").iterdir()
    seal(entry / "manifest.json", format=99)
    assert ukd("cache", "verify", "--cache", "cache")[:2] == (
        1, f"{entry.name}: expected teacher answers of format 2, got format 99 of a newer version\n")
    assert "damaged, or of another version" in " ".join(ukd("cache", "list", "--cache", "cache")[1].split())


def test_metrics_of_another_kind_are_refused(ukd: Command, old: Path):
    change(old / "run" / "metrics.json", labels="rain")
    assert ukd("verdict", "run") == (
        2, "", "ukd: run 'run': metrics.json is not that of a run: option 'labels' has a wrong value: Input should "
               "be a valid list, got 'rain'. Do the run again with --overwrite.\n")


def test_versions_are_in_the_key_of_what_the_cache_holds(old: Path):
    (entry,) = (old / "cache" / "answers").iterdir()
    facts = json.loads((entry / "manifest.json").read_text())["facts"]
    assert facts["format"] == formats.ANSWERS.version
    assert fingerprint(facts) == entry.name != fingerprint({**facts, "format": 3})
