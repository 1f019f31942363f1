"""Tables that cannot be read, and disks that cannot hold them."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import datasets
import pytest

from ukd_core.errors import InputError
from ukd_core.run.data import read_data


def refusal(source: Path, cache: Path | None = None) -> str:
    with pytest.raises(InputError) as caught:
        read_data(str(source), cache=cache)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def failing(number: int) -> Callable[..., NoReturn]:
    """Stands for the library on a disk that fails it; it wraps what went wrong in an error of its own."""
    def load(*_: object, **__: object) -> NoReturn:
        raise datasets.exceptions.DatasetGenerationError("An error occurred") from OSError(number, "it failed")
    return load


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "train.csv").write_text("text,label\nx,a\ny,b\n")
    return tmp_path / "train.csv"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_no_fault_of_the_file(table: Path, monkeypatch: pytest.MonkeyPatch, number: int):
    monkeypatch.setattr(datasets, "load_dataset", failing(number))
    for cache, where in ((table.parent / "cache", str(table.parent / "cache" / "datasets")),
                         (None, "the datasets cache")):
        with pytest.raises(OSError, match="it failed") as caught:
            read_data(str(table), cache=cache)
        assert (caught.value.errno, caught.value.filename) == (number, where)
    assert [path.name for path in table.parent.iterdir()] == ["train.csv"]


def test_another_fault_is_told_with_its_first_cause(table: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(datasets, "load_dataset", failing(errno.EIO))
    assert refusal(table) == (
        f"data '{table}': expected a readable csv file, got an error: [Errno {errno.EIO}] it failed. "
        "Mend the file; fields with commas, tabs or line breaks need quotes.")
    (table.parent / "train.json").write_text("[]")
    assert refusal(table.parent / "train.json") == (
        f"data '{table.parent / 'train.json'}': expected a readable json file, got an error: [Errno {errno.EIO}] it "
        "failed. Mend the file.")


def test_an_empty_folder(tmp_path: Path):
    assert refusal(tmp_path) == (f"data '{tmp_path}': expected a file train with one of the endings .csv, .tsv, "
                                 ".jsonl, .json, .parquet, got an empty folder. Rename the training file.")


def test_texts_that_are_all_empty(table: Path):
    table.write_text('text,label\n"",a\n" ",b\n')
    assert refusal(table, table.parent / "cache") == (
        f"data '{table}': every text in column 'text' is empty. Name another with --text-columns.")
