"""Files and folders that appear whole or not at all, or say where they could not be; what a folder of weights takes."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from ukd_core.errors import InputError, of_the_machine
from ukd_core.run.leftovers import locked, sweep, unlock

FULL = 1 << 16
"""Fewer free bytes than this, and a write that failed has failed for want of room."""
OTHER_WEIGHTS = frozenset({".bin", ".h5", ".msgpack", ".ot", ".onnx", ".pt"})
"""Endings of copies of the weights that lie beside ``*.safetensors`` in some folders."""


@contextmanager
def writing(place: Path, *others: type[Exception]) -> Iterator[None]:
    """Within the block, whatever library cannot write raises an `OSError` that names the place.

    Of a full disk torch says that a position is unexpected, NumPy how many numbers are missing, and neither says where.

    Args:
        place: The file or folder.
        *others: What else is raised by the libraries that write in the block, and by nothing else in it.
    """
    kinds: tuple[type[Exception], ...] = (OSError, SafetensorError, *others)
    try:
        yield
    except kinds as error:
        if of_the_machine(error) or (isinstance(error, OSError) and error.filename is not None):
            raise
        full = shutil.disk_usage(next(each for each in (place, *place.parents) if each.exists())).free < FULL
        number = errno.ENOSPC if full else getattr(error, "errno", None) or errno.EIO
        told = os.strerror(number) if full or number != errno.EIO else f"could not be written: {error}"
        raise OSError(number, told, str(place)) from error


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Fill a temporary folder; when the block ends well it becomes `target`, else it is removed.

    Where another process finished the same folder first, theirs is kept. What one that was killed here left behind is
    removed by the next.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target)
    scratch, handle = locked(lambda: tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        with writing(target):
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
        unlock(handle)


def write_text(path: Path, text: str) -> None:
    """Write a file whole: readers see the old one or the new one."""
    sweep(path)
    scratch, handle = locked(lambda: _new_file(path))
    try:
        with writing(path), scratch.open("w", encoding="utf-8") as file:
            file.write(text)
        scratch.chmod(0o644)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
        unlock(handle)


def _new_file(target: Path) -> str:
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    return name


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
    """Bytes of the files of a model folder; of several copies of the weights only the safetensors count.

    The card does not count: it holds names, and a run under another name is the same run.
    """
    files = [path for path in folder.iterdir() if path.is_file() and path.suffix != ".md"]
    copied = any(path.suffix == ".safetensors" for path in files)
    return sum(path.stat().st_size for path in files if not (copied and path.suffix in OTHER_WEIGHTS))
