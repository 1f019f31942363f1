"""Recipes and data files from strangers: refused at once in one line, with nothing run and nothing written."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ukd_core import Recipe
from ukd_core.errors import InputError
from ukd_core.run.data import read_data
from ukd_core.spec import parse_spec
from ukd_core.yaml_text import read_yaml

Command = Callable[..., tuple[int, str, str]]
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 12)) + "teacher: *a11\n"
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 10)}]}}\n" for level in range(1, 12))
GOOD = "teacher: bert\nstudent: cnn\noutput: run\ndata: d.csv\n"


def refused(ukd: Command, folder: Path, content: str, *texts: str) -> None:
    """`ukd distill` ends within seconds in one short line."""
    (folder / "recipe.yaml").write_text(content)
    start = time.perf_counter()
    status, out, err = ukd("distill", "--recipe", folder / "recipe.yaml")
    assert time.perf_counter() - start < 20  # on a busy machine
    assert (status, out, err.count("\n")) == (2, "", 1) and len(err) < 2100, err[:500]
    for text in texts:
        assert text in err
    assert [path.name for path in folder.iterdir()] == ["recipe.yaml"]


@pytest.mark.parametrize(("content", "text"), [
    (LAUGHS, "got more than 30,000 values (anchors count as often as they are used)."),
    (MERGES, "got more than 30,000 values"),
    ("a: &a [*a]\n", "got more than 30,000 values"), ("a: &a {b: *a}\n", "got more than 30,000 values"),
    ("[" * 10_000, "got values nested too deeply."), ("a: {" * 10_000, "got values nested too deeply."),
    ("- " * 10_000, "got values nested too deeply."),
    ("a: b\n" * 20_000_000, "got 100,000,000 characters, where 1,000,000 are the most."),
    ("teacher: " + "1:" * 200_000 + "1\n", "got a number or date of 400,001 letters."),
    ("teacher: " + "9" * 100_000 + "\n", "got a number or date of 100,000 letters."),
    ("teacher: 2021-13-45\n", "got month must be in 1..12."),
    ("teacher: !!python/object/apply:os.system [touch mark]\n", "could not determine a constructor for the tag"),
    ("teacher: !!python/name:os.system\n", "could not determine a constructor for the tag"),
    ("teacher: !!python/object/new:pathlib.Path [mark]\n", "could not determine a constructor for the tag"),
    (GOOD + "cache: \"a\\0b\"\n", "option 'cache' has a wrong value: expected text in UTF-8 without NUL"),
    (GOOD + "plugins: [\"a\\0b\"]\n", "option 'plugins' has a wrong value: expected text in UTF-8 without NUL"),
    ("teacher: [" + "x, " * 20_000 + "x]\n", "option 'teacher' has a wrong value: Input should be a valid string"),
], ids=["laughs", "merges", "itself", "itself in a mapping", "deep lists", "deep mappings", "deep items", "100 MB",
        "base 60", "digits", "no date", "apply", "name", "new", "zero byte", "zero byte in a list", "long list"])
def test_a_hostile_recipe(ukd: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, text: str):
    monkeypatch.chdir(tmp_path)
    refused(ukd, tmp_path, content, text)


def test_anchors_within_bounds_are_fine():
    assert read_yaml("a: &a [1, 2]\nb: *a\n") == {"a": [1, 2], "b": [1, 2]}
    assert read_yaml("") is None


@pytest.mark.parametrize("value", ["!!python/object/apply:os.getpid []", "[" * 2_000, "&a [*a]"])
def test_a_hostile_option(value: str):
    with pytest.raises(InputError, match="option 'a' has an unreadable value") as caught:
        parse_spec(f"bert:a={value}")
    assert len(str(caught.value)) < 600


# --- Plug-ins that a recipe names are code ----------------------------------------------------------------------------

@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A folder with a plug-in that leaves a mark when it is imported."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "evil.py").write_text(f"import pathlib\npathlib.Path({str(tmp_path / 'mark')!r}).touch()\n")
    return folder


@pytest.mark.parametrize("command", [("distill",), ("check",)])
def test_code_that_a_recipe_names_runs_when_it_is_asked_for(ukd: Command, evil: Path, tmp_path: Path,
                                                            command: tuple[str, ...]):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"{GOOD}plugins: [{evil}/evil.py]\nplugin_folder: {evil}\n")
    assert ukd(*command, "--recipe", recipe) == (
        2, "", f"ukd: recipe '{recipe}': it names plug-ins, whose code would run: {evil}/evil.py, {evil}. If you trust "
               f"them, add --plugin {evil}/evil.py --plugin-folder {evil}.\n")
    assert ukd(*command, "--recipe", recipe, "--plugin", f"{evil}/evil.py")[2].endswith(
        f"whose code would run: {evil}. If you trust them, add --plugin-folder {evil}.\n")
    assert not (tmp_path / "mark").exists()
    status, _, _ = ukd(*command, "--recipe", recipe, "--plugin", f"{evil}/evil.py", "--plugin-folder", evil)
    assert status == 2 and (tmp_path / "mark").exists()


def test_the_options_of_a_recipes_code():
    assert Recipe.make({"teacher": "a", "student": "b", "data": "c", "output": "d", "plugins": "x, y.py",
                        "plugin_folder": "z"}).code_options() == ["--plugin", "x", "--plugin", "y.py",
                                                                  "--plugin-folder", "z"]


# --- Data -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["train.jsonl", "train.csv", "train.parquet", "train.json", "train.tsv"])
def test_an_archive_is_not_unpacked(tmp_path: Path, name: str):
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        for member in ("../../escaped.jsonl", "rows.jsonl"):
            archive.writestr(member, json.dumps({"text": "a", "label": "b"}) + "\n")
    with pytest.raises(InputError) as caught:
        read_data(str(tmp_path / name), cache=tmp_path / "cache")
    assert str(caught.value) == (f"data '{tmp_path / name}': expected a readable {name.partition('.')[2]} file, got a "
                                 "zip archive. Unpack it.")
    assert [path.name for path in tmp_path.rglob("*")] == [name]


def test_a_loading_script_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    script = f"import pathlib\npathlib.Path({str(tmp_path / 'mark')!r}).touch()\n"
    for folder in ("data", "org/reviews"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / f"{Path(folder).name}.py").write_text(script)
    (tmp_path / "org" / "scripted.py").write_text(script)
    for source in ("data", "org/reviews", "org/scripted", "org/scripted.py", "./org/reviews", "other/reviews"):
        with pytest.raises(InputError):
            read_data(source, cache=tmp_path / "cache")
    assert not (tmp_path / "mark").exists()
