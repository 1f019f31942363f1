"""Folders and files appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from ukd_core.run.files import whole_folder, write_text


def test_a_folder_whose_making_fails_leaves_nothing(tmp_path: Path):
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "kept") as scratch:
        (scratch / "half").write_text("half")
        raise RuntimeError("stopped")
    assert list(tmp_path.iterdir()) == []


def test_the_first_of_two_makers_wins(tmp_path: Path):
    with whole_folder(tmp_path / "kept") as slow:
        (slow / "file").write_text("slow")
        with whole_folder(tmp_path / "kept") as fast:
            (fast / "file").write_text("fast")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "file").read_text() == "fast"


def test_what_is_no_folder_is_not_replaced(tmp_path: Path):
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(NotADirectoryError), whole_folder(tmp_path / "kept") as scratch:
        (scratch / "file").write_text("ours")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_text() == "mine"


def test_a_file_is_the_old_one_or_the_new_one(tmp_path: Path):
    write_text(tmp_path / "note", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "note", "half \ud800")
    assert (tmp_path / "note").read_text() == "old"
    write_text(tmp_path / "note", "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("note", "new")]
