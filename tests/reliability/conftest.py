"""Whole runs in processes of their own, which are disturbed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from forks import Forks
from moments import SHARDS

# Shards of 16 rows, so that a small pass has many of them.
COMMAND = (sys.executable, "-c", "import ukd_core.run.cache.building as building; building.SHARD_ROWS = 16; "
                                 "from ukd_core.cli import main; main()", "distill")
WORDS = ("oil", "grain", "profit", "ship", "tariff", "loss", "crude", "wheat", "bank", "dollar")


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 made-up rows of two classes that a word tells apart."""
    path = tmp_path_factory.mktemp("texts") / "train.jsonl"
    with path.open("w") as file:
        for row in range(400):
            words = [WORDS[(row * 7 + place * (3 + row % 5)) % 10] for place in range(3 + row % 20)]
            file.write(json.dumps({"text": " ".join(words), "label": "food" if "wheat" in words else "other"}) + "\n")
    return path


@pytest.fixture(scope="session")
def start(texts: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts ``ukd distill`` in a folder, with its cache and its run in it."""
    def started(folder: Path, *options: str, before: Callable[[], None] | None = None) -> subprocess.Popen[str]:
        command = [*COMMAND, "--teacher", "bert:layers=4,hidden=64", "--teacher-tuning", "probe", "--student",
                   "cnn:hidden=32,layers=2", "--data", str(texts), "--max-length", "24", "--epochs", "6",
                   "--device", "cpu", "--cache", str(folder / "cache"), "--output", str(folder / "run"), *options]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=before,
                                env={**os.environ, "OMP_NUM_THREADS": "1"})
    return started


@pytest.fixture(scope="session")
def undisturbed(start: Callable[..., subprocess.Popen[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    process = start(folder)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return folder


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Starts command lines quickly."""
    with Forks(tmp_path_factory.mktemp("forks"), PYTHONHASHSEED="0") as server:
        yield server


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 made-up rows of two classes."""
    path = tmp_path_factory.mktemp("few") / "train.jsonl"
    with path.open("w") as file:
        for row in range(96):
            words = [WORDS[(row * 7 + place * (3 + row % 5)) % 10] for place in range(3 + row % 9)]
            file.write(json.dumps({"text": " ".join(words), "label": "food" if "wheat" in words else "other"}) + "\n")
    return path


@pytest.fixture(scope="session")
def small(few: Path) -> tuple[str, ...]:
    """A run of two phases and 12 steps, without its cache and its output."""
    return ("distill", "--teacher", "bert:layers=2,hidden=32", "--teacher-tuning", "probe", "--student",
            "cnn:hidden=8,layers=1", "--data", str(few), "--max-length", "12", "--epochs", "4", "--device", "cpu",
            "--no-speed")


@pytest.fixture(scope="session")
def whole(forks: Forks, small: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    run = forks.start(*small, "--cache", folder / "cache", "--output", folder / "run", before=SHARDS)
    assert run.wait() == 0, run.errors
    return folder
