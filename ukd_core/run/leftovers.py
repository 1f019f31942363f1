"""What a killed process leaves of a file or folder that it had not finished: told from a live one's, and removed."""

from __future__ import annotations

import glob
import os
import shutil
import sys
import time
from pathlib import Path

if sys.platform != "win32":
    import fcntl

SECONDS_TO_LOCK = 1.0
"""Something temporary that is older, and locked by nobody, is a leftover: a live process locks what it makes."""


def sweep(target: Path) -> None:
    """Remove the leftovers of earlier attempts at a target; called before another one.

    Args:
        target: File or folder; what is made for it first has the name ``.NAME.…`` beside it.
    """
    for path in target.parent.glob(f".{glob.escape(target.name)}.*"):
        try:
            if time.time() - path.stat().st_mtime > SECONDS_TO_LOCK:
                _remove_unheld(path)
        except FileNotFoundError:  # its process has finished it
            continue


def lock(path: Path) -> int | None:
    """Lock a file or folder for this process, which lets go of it however it ends.

    Returns:
        What `unlock` takes; None where another process has it, or where there are no such locks.
    """
    if sys.platform == "win32":
        return None
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
