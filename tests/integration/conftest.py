"""Real text for whole runs: a small cut of Reuters R8, fetched once into the user's cache."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest

from ukd_core.cli import main
from ukd_core.run.data import read_data
from ukd_core.run.embedded import cache_folder

CLASSES = ("acq", "crude", "earn", "trade")


def write_jsonl(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def few_of_each(split: datasets.Dataset, each: int) -> list[dict[str, object]]:
    taken: dict[str, list[dict[str, object]]] = {name: [] for name in CLASSES}
    for text, label in zip(split["text"][:], split["label"][:], strict=True):
        if label in taken and len(taken[label]) < each:
            taken[label].append({"text": text, "label": label})
    return [row for rows in zip(*taken.values(), strict=True) for row in rows]


@pytest.fixture(scope="session")
def news(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """160 training and 60 validation stories of four classes, as JSON lines."""
    splits = read_data("embedded:reuters-r8", cache=cache_folder(), validation_fraction=0.0).splits
    folder = tmp_path_factory.mktemp("news")
    write_jsonl(folder / "train.jsonl", few_of_each(splits["train"], 40))
    write_jsonl(folder / "validation.jsonl", few_of_each(splits["test"], 15))
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of this test session: what one test builds, another reuses."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def ukd(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The command line in this process: (exit status, standard output, standard error)."""
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ukd", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err
    return run
