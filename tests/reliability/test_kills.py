"""Killed at random moments, a run goes on and ends with the bytes of a run that nothing disturbed.

``UKD_KILLS=20 pytest tests/reliability/test_kills.py`` kills twenty times in each part.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

KILLS = int(os.environ.get("UKD_KILLS", "2"))
Start = Callable[..., subprocess.Popen[str]]


def kill_in(process: subprocess.Popen[str], begun: Callable[[], bool], span: float) -> bool:
    """Kill −9 at a random moment of `span` seconds after `begun`; whether there was still something to kill."""
    while not begun() and process.poll() is None:
        time.sleep(0.002)
    time.sleep(random.SystemRandom().uniform(0, span))
    alive = process.poll() is None
    process.kill()
    process.communicate()
    return alive


def finished(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def answers(folder: Path) -> dict[str, bytes]:
    entry = next(path for path in (folder / "cache" / "answers").iterdir() if path.is_dir())
    return {path.name: path.read_bytes() for path in entry.glob("*.npy")}


def weights(folder: Path) -> bytes:
    return (folder / "run" / "student" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("moment", range(KILLS))
def test_killed_while_the_cache_is_built(start: Start, undisturbed: Path, tmp_path: Path, moment: int):
    process = start(tmp_path)
    killed = kill_in(process, lambda: any((tmp_path / "cache").glob("answers/*.work")), 1.5)
    assert killed
    finished(start(tmp_path, *(["--resume"] if (tmp_path / "run").exists() else [])))
    assert answers(tmp_path) == answers(undisturbed)
    assert weights(tmp_path) == weights(undisturbed)
    assert not [path for path in (tmp_path / "cache" / "answers").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("moment", range(KILLS))
def test_killed_while_the_student_is_trained(start: Start, undisturbed: Path, tmp_path: Path, moment: int):
    process = start(tmp_path)
    killed = kill_in(process, (tmp_path / "run" / "checkpoints").exists, 4.0)
    assert killed
    finished(start(tmp_path, "--resume"))
    assert weights(tmp_path) == weights(undisturbed)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "log.jsonl", "metrics.json", "recipe.yaml", "student"]
