"""``ukd cache``: what the cache folder holds, whether it is sound, and how it is emptied."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from ukd_core.errors import InputError
from ukd_core.run.cache.arrays import Entry

KINDS = ("answers", "teachers", "assistants", "tokens", "embedded")
"""Folders of the cache that have a folder for every entry."""
DATASETS = "datasets"
"""The folder of the datasets library, one entry for all."""
SHORTEST_ID = 4


@dataclass(frozen=True)
class Kept:
    """One entry of the cache folder."""

    kind: str
    """The folder it is in."""
    path: Path
    about: str

    @property
    def size(self) -> int:
        """Bytes on disk."""
        files = self.path.rglob("*") if self.path.is_dir() else [self.path]
        return sum(file.stat().st_size for file in files if file.is_file())

    @property
    def written(self) -> str:
        """When it was written, UTC."""
        return datetime.fromtimestamp(self.path.lstat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M")


def kept(cache: Path) -> Iterator[Kept]:
    """Every entry of a cache folder, complete or begun.

    Raises:
        InputError: there is no such folder.
    """
    if not cache.is_dir():
        raise InputError(f"cache '{cache}'", "no such folder")
    for kind in KINDS:
        folder = cache / kind
        paths = sorted(folder.iterdir()) if folder.is_dir() else []
        for path in paths:
            if path.suffix != ".lock" and not path.name.startswith("."):
                yield Kept(kind, path, _about(kind, path))
    if (cache / DATASETS).is_dir():
        yield Kept(DATASETS, cache / DATASETS, "tables read from data files")


def verify(cache: Path) -> Iterator[tuple[Kept, str | None]]:
    """Every entry of teacher answers with what is wrong with it, None where every byte is as it was written."""
    for entry in kept(cache):
        if entry.kind == "answers" and entry.path.suffix != ".work":
            try:
                Entry.open(entry.path).verify()
            except InputError as error:
                yield entry, error.problem
            else:
                yield entry, None


def remove(cache: Path, name: str) -> Kept:
    """Delete one entry, named by the first characters of its name.

    Raises:
        InputError: no entry begins so, several do, or a run is building it.
    """
    found = [entry for entry in kept(cache) if entry.path.name.startswith(name)] if len(name) >= SHORTEST_ID else []
    exact = [entry for entry in found if entry.path.name == name]
    found = exact or found
    if len(found) != 1:
        raise InputError(f"cache '{cache}'", f"expected the first characters (at least {SHORTEST_ID}) of one entry, "
                         f"got {name!r}, which fits {len(found) or 'none'}", "List them with ukd cache list.")
    entry = found[0]
    lock = FileLock(entry.path.with_name(entry.path.name.removesuffix(".work") + ".lock"))
    try:
        with lock.acquire(timeout=0):
            shutil.rmtree(entry.path) if entry.path.is_dir() else entry.path.unlink()
    except Timeout as error:
        raise InputError(f"cache entry '{entry.path}'", "expected an entry that nobody uses, got one that a run is "
                         "building", "Wait for the run, or stop it.") from error
    return entry


def _about(kind: str, path: Path) -> str:
    if path.suffix == ".work":
        return "begun; the next run goes on with it"
    if kind != "answers":
        return {"teachers": "fine-tuned weights", "assistants": "weights that a teacher taught",
                "tokens": "texts as one tokenizer reads them"}.get(kind, "download")
    try:
        about = Entry.open(path).about
    except InputError:
        return "damaged, or of another version"
    return f"{about['teacher']} on {about['data']}: {about['rows']:,} rows, made {about['made']}"
