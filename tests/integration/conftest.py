"""Real text for whole runs: a small cut of Reuters R8, fetched once into the user's cache."""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import finished_run
from texts import few_of_each, write_jsonl

from ukd_core.run.data import read_data
from ukd_core.run.embedded import cache_folder
from ukd_core.run.report import write_report


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


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small run with its baseline, its times and its report."""
    run = finished_run(tmp_path_factory.mktemp("reported"))
    write_report(run)
    return run
