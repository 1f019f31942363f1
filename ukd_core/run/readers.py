"""Tables from files, from the hub and from the embedded default."""

from __future__ import annotations

import csv
import difflib
import errno
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
from datasets.utils.extract import Extractor

from ukd_core.errors import InputError, UKDError
from ukd_core.run.embedded import cache_folder, embedded_path, find_embedded
from ukd_core.run.labels import listed
from ukd_core.run.text_files import check_text_file
from ukd_core.silence import quiet
from ukd_core.spec import nearest

FORMATS = {".csv": "csv", ".tsv": "csv", ".jsonl": "json", ".json": "json", ".parquet": "parquet"}
"""File endings that are read, with the reader of the `datasets` library."""

SPLIT_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("validation", "valid", "val", "dev", "validation_matched", "dev_matched"),
    "test": ("test", "test_matched"),
    "unlabelled": ("unlabelled", "unlabeled", "unsupervised"),
}
"""Names that a split may have as a file or on the hub, best first; rows of ``unlabelled`` join the training rows."""

_HUB_NAME = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(:(?P<config>[^/:]+))?")

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""The disk, a quota or a limit is full: nothing is wrong with the file."""

NO_ROWS = ("corresponds to no data", "BatchSize must be greater than 0", "No columns to parse")
"""What the readers say of a file without rows."""


def read_tables(source: str, where: str, cache: Path | None) -> dict[str, datasets.Dataset]:
    """Raw tables by split, "train" among them; called once by `read_data`.

    Args:
        source: Folder, file, hub name or ``embedded:NAME``.
        where: The source in error texts.
        cache: Where downloads and read files are kept; None for the libraries' own folders.

    Raises:
        InputError: no such source, or one that cannot be read; in one line.
    """
    path = Path(os.path.expanduser(source))
    if source.startswith("embedded:"):
        name = source.removeprefix("embedded:")
        find_embedded(name, "data")
        path = embedded_path(name, cache or cache_folder())
    if path.is_dir():
        return {split: _read_file(file, split, cache) for split, file in _files_of(path, where).items()}
    if path.is_file():
        if path.suffix.lower() not in FORMATS:
            raise InputError(where, f"expected a file ending in {', '.join(FORMATS)}, got {path.name!r}")
        return {"train": _read_file(path, "train", cache)}
    hub = _HUB_NAME.fullmatch(source)
    # "folder/file" looks like a hub name too: what ends like a file or lies in a folder that exists is a path.
    if hub is None or path.suffix.lower() in FORMATS or path.parent.is_dir():
        raise InputError(where, "there is no such file or folder", _near_files(path))
    return _read_hub(hub["name"], hub["config"], where, cache)


def _near_files(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"There is no folder '{folder}' either."
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    close = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    return nearest(path.name, {*close, *names[:10]}) + " Hub names are written org/name."


def _files_of(folder: Path, where: str) -> dict[str, Path]:
    """The file of each split of a folder."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        split = next((split for split, names in SPLIT_NAMES.items() if path.stem.lower() in names), None)
        if split is None or path.suffix.lower() not in FORMATS:
            continue
        if split in found:
            raise InputError(where, f"expected one file for split '{split}', got {found[split].name} and {path.name}",
                             "Keep one of them.")
        found[split] = path
    if "train" not in found:
        names = sorted(path.name for path in folder.iterdir())
        raise InputError(where, f"expected a file train with one of the endings {', '.join(FORMATS)}, "
                                f"got {listed(names, 10) or 'an empty folder'}", "Rename the training file.")
    return found


def _begins_empty(path: Path) -> bool:
    """Whether a file begins with a NUL byte, where an archive has a name; a file of such bytes passes for one."""
    with path.open("rb") as file:
        return file.read(1) == b"\0"


def _read_file(path: Path, split: str, cache: Path | None) -> datasets.Dataset:
    where = f"data '{path}'"
    kind = FORMATS[path.suffix.lower()]
    if not path.is_file():  # a pipe would be waited for
        raise InputError(where, "expected a file, got something else", "Put a file of rows there.")
    packed = Extractor.infer_extractor_format(path)  # the library would unpack it, whatever is in it
    if packed and not (packed == "tar" and _begins_empty(path)):
        raise InputError(where, f"expected a readable {path.suffix.lower()[1:]} file, got a {packed} archive",
                         "Unpack it.")
    try:
        if kind != "parquet":
            check_text_file(path, where, nested=kind == "json")
        options = _csv_options(path, where) if kind == "csv" else {}
        with quiet(), warnings.catch_warnings():
            # pandas would drop the surplus fields of a row with a warning.
            warnings.filterwarnings("error", message="Length of header or names")
            return datasets.load_dataset(kind, data_files={split: str(path)}, split=split, cache_dir=_arrow(cache),
                                         **options)
    except UKDError:
        raise
    except Exception as error:  # the readers of three libraries raise what they like
        first = _first_cause(error)
        if isinstance(first, OSError) and first.errno in NO_ROOM:
            raise OSError(first.errno, first.strerror, str(_arrow(cache) or "the datasets cache")) from error
        if path.stat().st_size == 0 or any(sign in str(first) for sign in NO_ROWS):
            raise InputError(where, f"split '{split}' has no rows", "Remove the file, or put rows into it.") from error
        raise InputError(where, f"expected a readable {path.suffix.lower()[1:]} file, got an error: {_reason(error)}",
                         "Mend the file; fields with commas, tabs or line breaks need quotes." if kind == "csv" else
                         "Mend the file.") from error


def _csv_options(path: Path, where: str) -> dict[str, Any]:
    """Read every field as text: "None", "007" and "1e5" are texts as they stand; labels are converted later."""
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    bare = separator == "\t" and _has_bare_quotes(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file, delimiter=separator, quoting=csv.QUOTE_NONE if bare else csv.QUOTE_MINIMAL), [])
    twice = [name for index, name in enumerate(header) if name and name in header[:index]]
    if twice:
        raise InputError(where, f"the column {twice[0]!r} is there twice", "Give each column a name of its own.")
    # A column without a name, as the row numbers of pandas have it, gets the one that the reader gives it.
    names = [name or f"Unnamed: {index}" for index, name in enumerate(header)]
    features = datasets.Features({name: datasets.Value("string") for name in names})
    return {"sep": separator, "quoting": csv.QUOTE_NONE if bare else csv.QUOTE_MINIMAL, "features": features,
            "index_col": False, "keep_default_na": False}


def _has_bare_quotes(path: Path) -> bool:
    """Whether some field starts with a quote that is no CSV quoting, as in GLUE's files: then no quote is special."""
    with path.open(encoding="utf-8-sig") as file:
        fields = (field for line in file if '"' in line for field in line.rstrip("\n").split("\t"))
        return any(field.startswith('"') and not re.fullmatch(r'"([^"]|"")*"', field) for field in fields)


def _read_hub(name: str, config: str | None, where: str, cache: Path | None) -> dict[str, datasets.Dataset]:
    try:
        with quiet():
            found = datasets.load_dataset(name, config, cache_dir=_arrow(cache))
    except Exception as error:  # the hub client raises what it likes
        raise InputError(where, f"there is no such file or folder, and the hub gave nothing: {_reason(error)}",
                         "Check the name and the network, or give a folder with train and validation files.") from error
    tables = {split: found[name] for split, names in SPLIT_NAMES.items() for name in reversed(names) if name in found}
    if "train" not in tables:
        raise InputError(where, f"expected a split 'train', got {listed(found)}")
    return tables


def _arrow(cache: Path | None) -> str | None:
    return None if cache is None else str(cache / "datasets")


def _first_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _reason(error: BaseException) -> str:
    """The first line of what first went wrong, at most 200 characters."""
    error = _first_cause(error)
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200].rstrip(". ")
