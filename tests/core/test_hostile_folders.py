"""Run folders, caches and exported folders from strangers: they are read, but their code is not run, and nothing that
lies elsewhere is written."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from ukd_core import Recipe
from ukd_core.errors import InputError
from ukd_core.run.cache.arrays import DamagedEntryError, Entry
from ukd_core.run.compare.grid import Grid
from ukd_core.run.files import whole_folder
from ukd_core.run.fingerprint import fingerprint
from ukd_core.run.output import cache_of_run, claim_output, open_output

Command = Callable[..., tuple[int, str, str]]
OLD_RUN = Path(__file__).parents[1] / "fixtures" / "old_run"
SCRIPT = "<script>alert(1)</script>"
IMAGE = "\"><img src=x onerror='alert(2)'>"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run and an exported folder from elsewhere, as the current folder."""
    shutil.copytree(OLD_RUN, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    monkeypatch.setenv("UKD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "place"


def change(path: Path, **values: Any) -> None:
    read, write = (json.loads, json.dumps) if path.suffix == ".json" else (yaml.safe_load, yaml.safe_dump)
    path.write_text(write({**read(path.read_text()), **values}))


def evil(folder: Path) -> Path:
    """A plug-in that leaves a mark when it is imported."""
    (folder / "plugins").mkdir()
    (folder / "plugins" / "evil.py").write_text(f"import pathlib\npathlib.Path({str(folder / 'mark')!r}).touch()\n"
                                                "from ukd_core import hookimpl\n")
    return folder / "plugins" / "evil.py"


# --- Code -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("command", [("verdict", "run"), ("report", "run"), ("predict", "run", "texts.txt"),
                                     ("eval", "run", "--data", "data.csv")])
def test_reading_a_run_loads_no_code_that_it_names(ukd: Command, place: Path, command: tuple[str, ...]):
    file = evil(place)
    change(place / "run" / "recipe.yaml", plugins=[str(file)], plugin_folder=str(file.parent))
    status, _, err = ukd(*command)
    assert status == 0, err
    assert not (place / "mark").exists()
    if command[0] in ("verdict", "report"):
        ukd(*command, "--plugin", file)
        assert (place / "mark").exists()


def test_an_output_space_of_code_that_is_not_loaded(ukd: Command, place: Path):
    change(place / "run" / "recipe.yaml", plugins=["evil.py"], output_space="evil")
    assert ukd("verdict", "run")[2].endswith("The run had --plugin evil.py: if you trust that code, add it.\n")


def test_resuming_asks_before_code_runs(ukd: Command, place: Path):
    file = evil(place)
    change(place / "run" / "recipe.yaml", plugins=[str(file)])
    status, _, err = ukd("distill", "--resume", "--output", "run")
    assert (status, err) == (2, f"ukd: recipe 'run/recipe.yaml': it names plug-ins, whose code would run: {file}. If "
                                f"you trust them, add --plugin {file}.\n")
    assert not (place / "mark").exists()


def test_a_comparisons_code_is_not_loaded(ukd: Command, place: Path):
    file = evil(place)
    change(place / "compared" / "comparison.yaml", plugins=[str(file)])
    assert ukd("report", "compared")[0] == 0
    assert not (place / "mark").exists()


def test_the_script_of_an_exported_folder_is_not_run(ukd: Command, place: Path):
    (place / "onnx" / "predict.py").write_text(f"import pathlib\npathlib.Path({str(place / 'mark')!r}).touch()\n")
    assert ukd("predict", "onnx", "texts.txt")[0] == 0
    assert not (place / "mark").exists()


# --- Writing elsewhere ------------------------------------------------------------------------------------------------

def test_the_cache_that_a_strangers_recipe_names_is_not_made(ukd: Command, place: Path, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    change(place / "run" / "recipe.yaml", cache=str(elsewhere))
    for _ in range(2):  # not there, then there but no cache
        assert ukd("report", "run")[0] == 0
        elsewhere.mkdir(exist_ok=True)
        assert list(elsewhere.iterdir()) == []
    recipe = Recipe.read("run/recipe.yaml")
    assert cache_of_run(recipe) == tmp_path / "cache"
    (elsewhere / "answers").mkdir()
    assert cache_of_run(recipe) == elsewhere


def test_a_run_that_is_continued_has_no_links(ukd: Command, place: Path, tmp_path: Path):
    (tmp_path / "diary.txt").write_text("mine")
    for name in ("log.jsonl", "answers.safetensors"):
        (place / "run" / name).unlink()
        (place / "run" / name).symlink_to(tmp_path / "diary.txt")
    (place / "run" / "metrics.json").unlink()
    status, _, err = ukd("distill", "--recipe", "run/recipe.yaml", "--resume", "--epochs", 30)
    assert status == 2
    assert "ukd: output 'run': expected files and folders of its own, got the link '" in err
    assert err.endswith("'. Remove the link, or choose another folder.\n")
    assert (tmp_path / "diary.txt").read_text() == "mine"


def test_a_comparison_that_is_continued_has_no_links(tmp_path: Path):
    grid = Grid.make({"teacher": "bert", "data": "d.csv"}, ["cnn"], ["none"], 1, tmp_path / "compared")
    grid.claim()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "compared" / "runs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="expected files and folders of its own, got the link 'runs'"):
        grid.claim()


def test_an_output_that_is_a_link_is_where_it_leads(tmp_path: Path):
    """As a user has it whose runs lie on a larger disk: also when what was there is replaced."""
    recipe = Recipe.make({"teacher": "bert", "student": "cnn", "data": "d.csv", "output": str(tmp_path / "run")})
    (tmp_path / "large").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "large")
    claim_output(tmp_path / "run", recipe, overwrite=False, resume=False)
    open_output(tmp_path / "run", recipe, overwrite=False)
    (tmp_path / "large" / "old").touch()
    claim_output(tmp_path / "run", recipe, overwrite=True, resume=False)
    open_output(tmp_path / "run", recipe, overwrite=True)
    assert (tmp_path / "run").is_symlink()
    assert [path.name for path in (tmp_path / "large").iterdir()] == ["recipe.yaml"]


@pytest.mark.parametrize("full", [True, False])
def test_a_link_in_the_place_of_a_folder_is_replaced_not_followed(tmp_path: Path, full: bool):
    (tmp_path / "elsewhere").mkdir()
    if full:
        (tmp_path / "elsewhere" / "mine").touch()
    (tmp_path / "student").symlink_to(tmp_path / "elsewhere")
    with whole_folder(tmp_path / "student") as scratch:
        (scratch / "file").touch()
    assert not (tmp_path / "student").is_symlink() and (tmp_path / "student" / "file").is_file()
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["mine"] * full


def test_links_at_files_that_are_written_anew(ukd: Command, place: Path, tmp_path: Path):
    (tmp_path / "diary.txt").write_text("mine")
    for name in ("verdict.json", "report.html"):
        (place / "run" / name).symlink_to(tmp_path / "diary.txt")
    assert ukd("verdict", "run")[0] == 0 and ukd("report", "run")[0] == 0
    assert (tmp_path / "diary.txt").read_text() == "mine"
    assert json.loads((place / "run" / "verdict.json").read_text())["format"] == 1


# --- The cache --------------------------------------------------------------------------------------------------------

def forged(entry: Path, arrays: dict[str, Any]) -> Path:
    """An entry whose manifest has these arrays and all the right checksums."""
    found = json.loads((entry / "manifest.json").read_text())
    content = {key: found[key] for key in ("format", "facts", "about")} | {"arrays": arrays}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    (entry / "manifest.json").write_text(json.dumps({**content, "sha256": digest}, indent=1) + "\n")
    assert fingerprint(content["facts"]) == entry.name
    return entry


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "a/b", "../train"])
def test_a_manifest_names_its_own_files(place: Path, name: str):
    (entry,) = (place / "cache" / "answers").iterdir()
    (place / "cache" / "secret.npy").write_bytes(b"mine")
    arrays = json.loads((entry / "manifest.json").read_text())["arrays"]
    with pytest.raises(DamagedEntryError, match="its manifest names files outside of it"):
        Entry.open(forged(entry, {name: arrays["train"]}))


@pytest.mark.parametrize("values", [
    {"dtype": "O"}, {"dtype": "float64"}, {"dtype": [["a", "f4"]]}, {"shape": [2**62, 2]}, {"shape": [-1]},
    {"shape": "x"}, {"shape": [10**30]}, {"block_rows": 0}, {"block_rows": "x"}, {"sha256": 3}, {"bytes": "x"}])
def test_a_manifest_that_its_files_do_not_fit(place: Path, values: dict[str, Any]):
    (entry,) = (place / "cache" / "answers").iterdir()
    arrays = json.loads((entry / "manifest.json").read_text())["arrays"]
    with pytest.raises(DamagedEntryError) as caught:
        Entry.open(forged(entry, {"train": {**arrays["train"], **values}})).verify()
    assert "its manifest does not fit its files" in str(caught.value) or "expected x bytes" in str(caught.value)


# --- Damage -----------------------------------------------------------------------------------------------------------

def test_answers_that_do_not_fit_the_labels(ukd: Command, place: Path):
    path = place / "run" / "answers.safetensors"
    whole = load_file(path)
    for name, tensor, text in (("validation.student", torch.zeros(3, 2), "validation.student of shape (3, 2)"),
                               ("validation.teacher", torch.zeros(4, 5), "validation.teacher of shape (4, 5)"),
                               ("extra.student", torch.zeros(4, 2), "extra.student of shape (4, 2)")):
        save_file({**whole, name: tensor}, path)
        assert ukd("verdict", "run") == (
            2, "", "ukd: run 'run': expected scores of 2 labels beside the labels of each row in answers.safetensors, "
                   f"got {text}. Do the run again with --overwrite.\n")
    path.write_bytes(b"\xff" * 100)
    assert ukd("verdict", "run")[2].startswith("ukd: run 'run': expected a readable answers.safetensors, got: ")


def test_lines_that_are_nested_too_deeply(ukd: Command, place: Path):
    (place / "run" / "log.jsonl").write_text("[" * 200_000 + "\n")
    assert ukd("report", "run")[0] == 0
    (place / "texts.jsonl").write_text("[" * 200_000 + "\n")
    status, out, err = ukd("predict", "run", "texts.jsonl")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "line 1: expected a JSON object with a text, got '[[[" in err


# --- The report -------------------------------------------------------------------------------------------------------

class Tags(HTMLParser):
    """Every element of a page with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, attrs))


def assert_harmless(page: str) -> None:
    """No element or attribute of the page runs or fetches anything."""
    tags = Tags(page).found
    assert not {tag for tag, _ in tags} & {"script", "img", "iframe", "object", "embed", "form", "base", "b"}
    for tag, attributes in tags:
        for name, value in attributes:
            assert not name.startswith("on") and name not in ("src", "srcdoc", "action", "formaction"), (tag, name)
            if name in ("href", "xlink:href"):
                assert str(value).startswith("#") or (tag, value) == ("link", "data:,"), (tag, value)


def test_the_page_of_a_hostile_run(ukd: Command, place: Path):
    """Texts, labels, names, phases, terms, options and times: all of them are shown as the text that they are."""
    names = [f"a {SCRIPT}", f"b {IMAGE}"]
    rows = [line.rpartition(",") for line in (place / "data.csv").read_text().splitlines()[1:]]
    with (place / "data.jsonl").open("w") as file:
        for text, _, label in rows:
            file.write(json.dumps({"text": f"{text} {SCRIPT}{IMAGE}", "label": names[label == "sun"]}) + "\n")
    run = place / "run"
    change(run / "recipe.yaml", data="data.jsonl", label_column="label", phases=[{"name": SCRIPT, "terms": [
        {"term": SCRIPT, "label": SCRIPT, "options": {IMAGE: SCRIPT}}]}])
    metrics = json.loads((run / "metrics.json").read_text())
    for side in ("teacher", "student"):
        metrics[side]["name"] = f"{side} {SCRIPT}{IMAGE}"
    change(run / "metrics.json", labels=names, method=SCRIPT, seconds={IMAGE: 1.0}, versions={SCRIPT: IMAGE},
           **{side: metrics[side] for side in ("teacher", "student")})
    answers = load_file(run / "answers.safetensors")
    save_file({**answers, "validation.student": -answers["validation.student"]}, run / "answers.safetensors")
    for name in ("log.jsonl", "layers.jsonl"):
        (run / name).unlink(missing_ok=True)
    (run / "log.jsonl").write_text("".join(json.dumps(
        {"phase": SCRIPT, "number": 1, "step": step, f"loss/{SCRIPT}{IMAGE}": 1.0, "loss": 1.0}) + "\n"
        for step in (1, 2)))
    (run / "layers.jsonl").write_text("".join(json.dumps(
        {"phase": SCRIPT, "number": 1, "step": step, "term": IMAGE, "split": SCRIPT, "rows": 4, "student": [0.5],
         "weights": [[0.5, 0.5]], "by_class": {SCRIPT: [[1.0, 0.0]]}}) + "\n" for step in (1, 2)))
    status, _, err = ukd("report", "run")
    assert status == 0, err
    page = (run / "report.html").read_text()
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 20 and "4 of 4 validation rows" in page
    assert_harmless(page)


def test_the_page_of_a_hostile_comparison(ukd: Command, place: Path):
    compared = place / "compared"
    change(compared / "comparison.yaml", teacher=f"bert {SCRIPT}", data=SCRIPT)
    for path in compared.rglob("metrics.json"):
        metrics = json.loads(path.read_text())
        change(path, teacher={**metrics["teacher"], "name": IMAGE}, labels=[SCRIPT, IMAGE], versions={SCRIPT: IMAGE})
    status, _, err = ukd("report", "compared")
    assert status == 0, err
    page = (compared / "report.html").read_text()
    assert page.count("&lt;script&gt;") > 2
    assert_harmless(page)
