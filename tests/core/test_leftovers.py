"""What a killed process left half-made is removed by the next one that makes the same thing; a live one's is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ukd_core.run.files import whole_folder, write_text
from ukd_core.run.leftovers import lock, sweep, unlock

KILLED = """
import os, signal, sys
from pathlib import Path
from ukd_core.run.files import whole_folder
with whole_folder(Path(sys.argv[1])) as scratch:
    (scratch / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def age(path: Path) -> None:
    """As old as what a run finds that is started again."""
    os.utime(path, (path.stat().st_mtime - 10,) * 2)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_killed_maker_leaves_nothing_once_the_next_is_done(tmp_path: Path):
    assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "kept")], check=False).returncode == -9
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".kept.")
    age(left)
    with whole_folder(tmp_path / "kept") as scratch:
        (scratch / "file").write_text("whole")
    assert names(tmp_path) == ["kept"]


def test_files_too(tmp_path: Path):
    (tmp_path / ".note.abcd").write_text("half")
    age(tmp_path / ".note.abcd")
    write_text(tmp_path / "note", "whole")
    assert names(tmp_path) == ["note"]


@pytest.mark.skipif(sys.platform == "win32", reason="has no such locks")
def test_what_a_live_process_makes_stays(tmp_path: Path):
    with whole_folder(tmp_path / "kept") as scratch:
        age(scratch)
        sweep(tmp_path / "kept")
        (scratch / "file").write_text("whole")
    assert (tmp_path / "kept" / "file").read_text() == "whole"
    made = tmp_path / ".other.abcd"
    made.mkdir()
    sweep(tmp_path / "other")  # perhaps its process is about to lock it
    assert made.is_dir()
    age(made)
    handle = lock(made)
    assert handle is not None and lock(made) is None
    sweep(tmp_path / "other")
    assert made.is_dir()
    unlock(handle)
    sweep(tmp_path / "other")
    assert not made.exists()


def test_other_names_stay(tmp_path: Path):
    for name in ("kept.txt", ".keptness.abcd", "kept"):
        (tmp_path / name).write_text("mine")
        age(tmp_path / name)
    sweep(tmp_path / "kept")
    assert names(tmp_path) == [".keptness.abcd", "kept", "kept.txt"]
