"""Two builders of one entry, and a disk that is full."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Start = Callable[..., subprocess.Popen[str]]


def test_of_two_builders_one_builds(start: Start, undisturbed: Path, tmp_path: Path):
    shared = ["--cache", str(tmp_path / "cache")]
    pair = [start(tmp_path / str(number), *shared) for number in range(2)]
    errors = [process.communicate(timeout=300)[1] for process in pair]
    assert [process.returncode for process in pair] == [0, 0], errors
    rows = [json.loads((tmp_path / str(number) / "run" / "metrics.json").read_text())["teacher_rows_forwarded"]
            for number in range(2)]
    assert sorted(rows) == [0, 400]
    entries = [path for path in (tmp_path / "cache" / "answers").iterdir() if path.is_dir()]
    assert len(entries) == 1
    other = next(path for path in (undisturbed / "cache" / "answers").iterdir() if path.is_dir())
    assert (entries[0] / "train.npy").read_bytes() == (other / "train.npy").read_bytes()


def small_files(limit: int) -> Callable[[], None]:
    """Writing past so many bytes of a file fails, as on a full disk."""
    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    return limited


@pytest.mark.parametrize(("limit", "where"), [(4_000, "/cache/datasets"), (100_000, "/cache/answers/")])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_valid(start: Start, tmp_path: Path, limit: int, where: str):
    """Where the table of texts does not fit, and where a shard of pooled states does not."""
    wide = ("--teacher", "bert:layers=4,hidden=512,heads=4,vocab_size=300")
    process = start(tmp_path, *wide, before=small_files(limit))
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 2, errors
    assert "Traceback" not in errors
    last = errors.splitlines()[-1]
    assert last.startswith("ukd: ") and where in last and last.endswith(": File too large.")
    assert not (tmp_path / "run").exists()
    process = start(tmp_path, *wide, "--epochs", "1")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["teacher_rows_forwarded"] == 400
