"""The run folder: who may write it, and how a run is continued or replaced."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ukd_core.errors import InputError
from ukd_core.formats import RUN
from ukd_core.run.cache.entries import DATASETS, KINDS
from ukd_core.run.embedded import cache_folder
from ukd_core.run.files import refuse_links, remove, whole_folder, write_text
from ukd_core.run.fingerprint import fingerprint
from ukd_core.run.kept import CHECKPOINTS
from ukd_core.run.recipe import Recipe

NOT_THE_RUN = frozenset({"output", "cache", "plugin_folder", "device", "rebuild_damaged"})
"""Keys that may change when a run is resumed."""


def claim_output(folder: Path, recipe: Recipe, *, overwrite: bool, resume: bool) -> None:
    """Refuse an output folder that this run may not write; writes nothing.

    Raises:
        InputError: it is a file, not writable, holds something else, or holds a run without leave to touch it.
    """
    where = f"output '{folder}'"
    if overwrite and resume:
        raise InputError(where, "expected one of --overwrite and --resume, got both")
    if folder.exists() and not folder.is_dir():
        raise InputError(where, "expected a folder, got a file")
    parent = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not parent.is_dir():
        raise InputError(where, f"expected a folder, got the file '{parent}' on the way to it")
    if not os.access(parent, os.W_OK):
        raise InputError(where, f"no permission to write in '{parent}'")
    if not folder.is_dir() or not any(folder.iterdir()):
        if resume:
            raise InputError(where, "expected a run to resume, got none", "Leave out --resume to start it.")
        return
    if not (folder / "recipe.yaml").is_file():
        raise InputError(where, "the folder holds files that are not a run", "Choose another folder.")
    if not overwrite and not resume:
        raise InputError(where, "it already holds a run", "Add --overwrite to replace it or --resume to continue it.")
    if resume:
        refuse_links(folder, where)
        _check_same(folder, recipe, where)


@contextmanager
def written_alone(folder: Path) -> Iterator[None]:
    """Within the block no other process writes this run; a killed one lets go of it.

    Raises:
        InputError: another process does.
    """
    place = folder / CHECKPOINTS
    place.mkdir(exist_ok=True)
    held = FileLock(place / "lock")
    try:
        held.acquire(timeout=0)
    except Timeout as error:
        raise InputError(f"output '{folder}'", "expected a run that no process works on, got one that another does",
                         "Wait for it, stop it, or choose another folder.") from error
    try:
        yield
    finally:
        held.release()


def open_output(folder: Path, recipe: Recipe, *, overwrite: bool) -> Path:
    """Make the run folder with its recipe; called when all input is known to be good."""
    folder = folder.resolve()  # where the folder is a link, what it leads to becomes the run
    if overwrite and folder.is_dir():
        with written_alone(folder):
            remove(folder)
    if folder.is_dir():  # it may be empty and yet not replaceable: a mount point, or the folder that we are in
        recipe.write(folder / "recipe.yaml")
    else:
        with whole_folder(folder) as scratch:
            recipe.write(scratch / "recipe.yaml")
    return folder


def cache_of_run(recipe: Recipe) -> Path:
    """The cache that a finished run used, where that still is one, else the user's: its recipe may be from anybody."""
    named = Path(os.path.expanduser(recipe.cache)) if recipe.cache else None
    kinds = (*KINDS, DATASETS)
    return named if named is not None and any((named / kind).is_dir() for kind in kinds) else cache_folder()


def usable_cache(folder: Path) -> Path:
    """The cache folder, made if need be.

    Raises:
        InputError: it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cache '{folder}'", f"the folder cannot be made: {error.strerror}",
                         "Name another with --cache.") from error
    if not os.access(folder, os.W_OK):
        raise InputError(f"cache '{folder}'", "no permission to write in it", "Name another with --cache.")
    return folder


def same_inputs(folder: Path, facts: dict[str, Any]) -> None:
    """Note what an unfinished run trains on; when it is resumed, refuse other rows or another teacher.

    Raises:
        InputError: the checkpoints were made with other inputs, or by another version.
    """
    note, where = folder / CHECKPOINTS / "inputs.json", f"output '{folder}'"
    now = RUN.mark({"inputs": fingerprint(facts)})
    if note.is_file() and RUN.read(note, where) != now:
        raise InputError(where, "the data or the teacher's answers changed since the run was stopped",
                         "Use --overwrite to start anew.")
    note.parent.mkdir(exist_ok=True)
    write_text(note, json.dumps(now))


def finished_metrics(folder: Path) -> dict[str, Any] | None:
    """The metrics of a complete run, None where it is not complete.

    Raises:
        InputError: they are damaged, or of another version.
    """
    path = folder / "metrics.json"
    return RUN.read(path, f"run '{folder}'") if path.is_file() else None


def _check_same(folder: Path, recipe: Recipe, where: str) -> None:
    before = Recipe.read(folder / "recipe.yaml").written()
    now = recipe.written()
    different = [key for key in now if key not in NOT_THE_RUN and now[key] != before[key]]
    if different:
        raise InputError(where, f"expected the recipe of the run to resume, got another {', '.join(different)}",
                         "Resume with the same options, or use --overwrite.")
