"""Files and folders that appear whole or not at all; what a folder of weights takes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ukd_core.run.leftovers import lock, sweep, unlock

OTHER_WEIGHTS = frozenset({".bin", ".h5", ".msgpack", ".ot", ".onnx", ".pt"})
"""Endings of copies of the weights that lie beside ``*.safetensors`` in some folders."""


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Fill a temporary folder; when the block ends well it becomes `target`, else it is removed.

    Where another process finished the same folder first, theirs is kept. What one that was killed here left behind is
    removed by the next.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    handle = lock(scratch)
    try:
        yield scratch
        scratch.chmod(0o755)
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
    handle, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    held = lock(Path(scratch))
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(scratch, 0o644)
        os.replace(scratch, path)
    finally:
        Path(scratch).unlink(missing_ok=True)
        unlock(held)


def files_bytes(folder: Path) -> int:
    """Bytes of the files of a model folder; of several copies of the weights only the safetensors count."""
    files = [path for path in folder.iterdir() if path.is_file()]
    copied = any(path.suffix == ".safetensors" for path in files)
    return sum(path.stat().st_size for path in files if not (copied and path.suffix in OTHER_WEIGHTS))
