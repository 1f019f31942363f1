"""A recipe round-trips, refuses what it does not know, and loads no torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ukd_core import Phase, Recipe, TermSpec
from ukd_core.errors import InputError

NEEDED = {"teacher": "bert", "student": "cnn", "data": "d.csv", "output": "o"}


def test_written_recipe_reads_back(tmp_path: Path):
    phases = (Phase(name="one", terms=(TermSpec(term="logit-kd", weight=0.5, options={"temperature": 2.0}),)),)
    recipe = Recipe.make({**NEEDED, "phases": phases, "label_names": ("nein", "ja"), "learning_rate": 1e-5})
    recipe.write(tmp_path / "run.yaml")
    assert Recipe.read(tmp_path / "run.yaml") == recipe
    assert Recipe.read(tmp_path / "run.yaml", seed=7).seed == 7


def test_existing_paths_are_written_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "texts").mkdir()
    monkeypatch.chdir(tmp_path)
    assert Recipe.make({**NEEDED, "data": "texts"}).written()["data"] == str(tmp_path / "texts")
    assert Recipe.make({**NEEDED, "data": "org/name"}).written()["data"] == "org/name"


def test_lists_may_be_written_with_commas():
    assert Recipe.make({**NEEDED, "text_columns": "premise, hypothesis"}).text_columns == ("premise", "hypothesis")


@pytest.mark.parametrize(("changes", "text"), [
    ({"batch_sise": 3}, "recipe: no option 'batch_sise'. Did you mean 'batch_size'"),
    ({"batch_size": 0}, "option 'batch_size' has a wrong value: Input should be greater than or equal to 1, got 0."),
    ({"temperature": -1}, "recipe: option 'temperature' has a wrong value"),
    ({"phases": []}, "recipe: option 'phases' has a wrong value"),
    ({"phases": [{"name": "x", "terms": []}]}, "recipe: option 'phases.0.terms' has a wrong value"),
    ({"teacher": None}, "recipe: option 'teacher' has a wrong value"),
])
def test_wrong_values(changes: dict[str, object], text: str):
    with pytest.raises(InputError) as caught:
        Recipe.make({**NEEDED, **changes})
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_key():
    with pytest.raises(InputError, match="recipe: option 'data' is missing"):
        Recipe.make({"teacher": "a", "student": "b", "output": "c"})


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        Recipe.read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"recipe '{path}': ")


@pytest.mark.parametrize(("content", "text"), [
    (b"teacher: [", "expected a YAML file, got while parsing a flow node"),
    (b"\x00", "expected a YAML file, got unacceptable character #x0000"),
    (b"teacher: caf\xe9\n", "expected a YAML file, got 'utf-8' codec can't decode byte 0xe9 in position 12: "),
    (b"", "expected keys and values, got NoneType."),
    (b"- 1\n", "expected keys and values, got list."),
    (b"1: 2\n", "expected keys and values, got dict."),
])
def test_a_file_that_is_no_recipe(tmp_path: Path, content: bytes, text: str):
    (tmp_path / "run.yaml").write_bytes(content)
    assert refusal(tmp_path / "run.yaml").startswith(text)


def test_a_recipe_that_is_not_there(tmp_path: Path):
    assert refusal(tmp_path / "run.yaml") == "no such file."
    os.mkfifo(tmp_path / "pipe.yaml")
    for place in (tmp_path, tmp_path / "pipe.yaml", Path("/dev/zero")):
        assert refusal(place) == "expected a YAML file, got a folder, a device or a pipe."


def test_help_imports_no_torch():
    code = ("import sys; sys.argv=['ukd','distill','--help']\n"
            "from ukd_core.cli import main\n"
            "try: main()\n"
            "except SystemExit as stop: code = stop.code\n"
            "heavy = [m for m in ('torch','transformers','datasets','sklearn','numpy') if m in sys.modules]\n"
            "print('HEAVY', heavy, code)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY [] 0" in done.stdout
    assert "--max-train-rows" in done.stdout
