"""What a killed process leaves of a file or folder that it had not finished: told from a live one's, and removed."""

from __future__ import annotations

import glob
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl


def sweep(target: Path) -> None:
    """Remove the leftovers of earlier attempts at a target; called before another one.

    Args:
        target: File or folder; what is made for it first has the name ``.NAME.…`` beside it.
    """
    for path in target.parent.glob(f".{glob.escape(target.name)}.*"):
        with suppress(FileNotFoundError):  # its process has finished it
            _remove_unheld(path)


def locked(make: Callable[[], str]) -> tuple[Path, int | None]:
    """Make something temporary that no other process takes for a leftover, however this one ends.

    Args:
        make: Makes a new file or folder beside the target and gives its path.

    Returns:
        The path, and what `unlock` takes.
    """
    while True:
        path = Path(make())
        with suppress(FileNotFoundError):  # swept before it was locked
            handle = lock(path, wait=True)
            if path.exists():
                return path, handle
            unlock(handle)


def lock(path: Path, *, wait: bool = False) -> int | None:
    """Lock a file or folder for this process, which lets go of it however it ends.

    Args:
        path: The file or folder.
        wait: For another process that has it.

    Returns:
        What `unlock` takes; None where another process has it, or where there are no such locks.
    """
    if sys.platform == "win32":
        return None
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def unlock(handle: int | None) -> None:
    """Let go of what `lock` gave."""
    if handle is not None:
        os.close(handle)


def _remove_unheld(path: Path) -> None:
    handle = lock(path)
    if handle is None:
        return
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    unlock(handle)
