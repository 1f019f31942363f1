"""Files and folders that appear whole or not at all; what a folder of weights takes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ukd_core.errors import InputError

OTHER_WEIGHTS = frozenset({".bin", ".h5", ".msgpack", ".ot", ".onnx", ".pt"})
"""Endings of copies of the weights that lie beside ``*.safetensors`` in some folders."""


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Fill a temporary folder; when the block ends well it becomes `target`, else it is removed.

    Where another process finished the same folder first, theirs is kept.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield scratch
        scratch.chmod(0o755)
        if target.is_symlink():  # what it leads to is not ours
            target.unlink()
        try:
            os.replace(scratch, target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a file whole: readers see the old one or the new one."""
    handle, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(scratch, 0o644)
        os.replace(scratch, path)
    finally:
        Path(scratch).unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Delete a folder with all that is in it; of a link only the link."""
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def refuse_links(folder: Path, where: str) -> None:
    """See that a folder that is written into once more holds no link, through which other files would be changed.

    Raises:
        InputError: it does.
    """
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            if path.is_symlink():
                raise InputError(where, f"expected files and folders of its own, got the link "
                                        f"'{path.relative_to(folder)}'", "Remove the link, or choose another folder.")


def files_bytes(folder: Path) -> int:
    """Bytes of the files of a model folder; of several copies of the weights only the safetensors count."""
    files = [path for path in folder.iterdir() if path.is_file()]
    copied = any(path.suffix == ".safetensors" for path in files)
    return sum(path.stat().st_size for path in files if not (copied and path.suffix in OTHER_WEIGHTS))
