"""What a killed process left half-made is removed by the next one that makes the same thing; a live one's is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ukd_core.run.files import whole_folder, write_text
from ukd_core.run.leftovers import lock, locked, sweep, unlock

KILLED = """
import os, signal, sys
from pathlib import Path
from ukd_core.run.files import whole_folder
with whole_folder(Path(sys.argv[1])) as scratch:
    (scratch / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_killed_maker_leaves_nothing_once_the_next_is_done(tmp_path: Path):
    assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "kept")], check=False).returncode == -9
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".kept.")
    with whole_folder(tmp_path / "kept") as scratch:
        (scratch / "file").write_text("whole")
    assert names(tmp_path) == ["kept"]


def test_files_too(tmp_path: Path):
    (tmp_path / ".note.abcd").write_text("half")
    write_text(tmp_path / "note", "whole")
    assert names(tmp_path) == ["note"]


@pytest.mark.skipif(sys.platform == "win32", reason="has no such locks")
def test_what_a_live_process_makes_stays(tmp_path: Path):
    with whole_folder(tmp_path / "kept") as scratch:
        sweep(tmp_path / "kept")
        (scratch / "file").write_text("whole")
    assert (tmp_path / "kept" / "file").read_text() == "whole"
    made = tmp_path / ".other.abcd"
    made.mkdir()
    handle = lock(made)
    assert handle is not None and lock(made) is None
    sweep(tmp_path / "other")
    assert made.is_dir()
    unlock(handle)
    sweep(tmp_path / "other")
    assert not made.exists()


def test_what_was_swept_before_it_was_locked_is_made_again(tmp_path: Path):
    names = iter("ab")

    def make() -> str:
        name = next(names)
        (tmp_path / name).mkdir()
        if name == "a":  # another process sees it first
            (tmp_path / name).rmdir()
        return str(tmp_path / name)

    path, handle = locked(make)
    assert path == tmp_path / "b" and path.is_dir()
    unlock(handle)


def test_other_names_stay(tmp_path: Path):
    for name in ("kept.txt", ".keptness.abcd", "kept"):
        (tmp_path / name).write_text("mine")
    sweep(tmp_path / "kept")
    assert names(tmp_path) == [".keptness.abcd", "kept", "kept.txt"]
