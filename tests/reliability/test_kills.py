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


def killed(start: Start, folder: Path, begun: Callable[[Path], bool], span: float) -> Path:
    """A folder whose run was killed −9 at a random moment of `span` seconds after `begun`.

    Where the run was done before, another begins, in a folder of its own, with less time to live.
    """
    for attempt in range(8):
        place = folder / str(attempt)
        place.mkdir()
        process = start(place)
        while not begun(place) and process.poll() is None:
            time.sleep(0.002)
        time.sleep(random.SystemRandom().uniform(0, span / 2 ** attempt))
        alive = process.poll() is None
        process.kill()
        process.communicate()
        if alive:
            return place
    pytest.fail("every run was done before it could be killed")


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
    folder = killed(start, tmp_path, lambda place: any((place / "cache").glob("answers/*.work")), 1.5)
    finished(start(folder, *(["--resume"] if (folder / "run").exists() else [])))
    assert answers(folder) == answers(undisturbed)
    assert weights(folder) == weights(undisturbed)
    kept = [path.name for path in (folder / "cache" / "answers").iterdir() if path.is_dir()]
    assert len(kept) == 1 and not kept[0].startswith(".")


@pytest.mark.parametrize("moment", range(KILLS))
def test_killed_while_the_student_is_trained(start: Start, undisturbed: Path, tmp_path: Path, moment: int):
    folder = killed(start, tmp_path, lambda place: (place / "run" / "checkpoints").exists(), 3.0)
    finished(start(folder, "--resume"))
    assert weights(folder) == weights(undisturbed)
    assert sorted(path.name for path in (folder / "run").iterdir()) == [
        "answers.safetensors", "layers.jsonl", "log.jsonl", "metrics.json", "recipe.yaml", "student", "verdict.json"]
