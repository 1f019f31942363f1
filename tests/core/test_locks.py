"""One process holds a lock against other runs, and says when it waits for one."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from ukd_core.run.processes import Processes
from ukd_core.run.progress import Reporter


def test_a_single_process_is_the_main_one(monkeypatch: pytest.MonkeyPatch):
    for name in ("WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    processes = Processes("cpu")
    processes.wait()
    assert (processes.count, processes.rank, processes.is_main) == (1, 0, True)
    monkeypatch.setenv("RANK", "3")  # without a number of processes it says nothing
    assert Processes("cpu").is_main


def test_a_lock_is_held_and_let_go(tmp_path: Path):
    path = tmp_path / "new" / "entry.lock"
    with pytest.raises(RuntimeError), Processes("cpu").lock(path, Reporter(quiet=True)):
        with pytest.raises(TimeoutError):
            FileLock(path).acquire(timeout=0)
        raise RuntimeError("stopped")
    with FileLock(path, timeout=0):
        pass


def test_a_wait_is_announced(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path, held, ended = tmp_path / "entry.lock", threading.Event(), threading.Event()

    def other() -> None:
        with FileLock(path):
            held.set()
            time.sleep(0.2)
            ended.set()

    run = threading.Thread(target=other)
    run.start()
    held.wait()
    with Processes("cpu").lock(path, Reporter()):
        assert ended.is_set()
    run.join()
    assert capsys.readouterr().err == f"waiting for another process, which builds '{tmp_path / 'entry'}'\n"
