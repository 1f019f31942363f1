"""A few cases of the soak (`benchmarks/soak.py`), and that what it looks for would be found."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a soak, with every run in it."""
    folder = tmp_path_factory.mktemp("soak")
    done = subprocess.run([sys.executable, str(BENCHMARKS / "soak.py"), "--seed", "83", "--last", "1", "--keep",
                           "--folder", str(folder)], capture_output=True, text=True, check=False,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_nothing_breaks(soaked: Path):
    results = [json.loads(line) for line in (soaked / "soak.jsonl").read_text().splitlines()]
    assert [result["problems"] for result in results] == [[]] * len(results)
    disturbed = [result["kinds"]["disturbance"] for result in results]
    assert disturbed == ["kill -9", "damaged entry"]


def append(name: str, text: str) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        with (run / name).open("a") as file:
            file.write(text)
    return damage


def repeat_last_loss(run: Path) -> None:
    lines = (run / "log.jsonl").read_text().splitlines()
    place = max(number for number, line in enumerate(lines) if '"loss"' in line)
    (run / "log.jsonl").write_text("\n".join([*lines[: place + 1], *lines[place:]]) + "\n")


def worse_than_possible(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["student"]["metrics"] = {"accuracy": 1.2}
    (run / "metrics.json").write_text(json.dumps(metrics))


def other_weights(run: Path) -> None:
    from safetensors.torch import load_file, save_file
    path = run / "student" / "model.safetensors"
    save_file({name: weight + 0.5 for name, weight in load_file(path).items()}, path, {"format": "pt"})


@pytest.mark.parametrize(("damage", "found"), [
    (append("notes", "mine"), "the run folder holds notes"), (append(".log.abcd", ""), "left behind: .log.abcd"),
    (lambda run: (run / "log.jsonl").unlink(), "the run folder lacks log.jsonl"),
    (repeat_last_loss, "has loss of a step twice"), (worse_than_possible, "metrics.student.metrics.accuracy is 1.2"),
    (other_weights, "the stored student answers split")], ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_looked_for_is_found(soaked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                     damage: Callable[[Path], None], found: str):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from soak_checks import check_run
    run = tmp_path / "run"
    shutil.copytree(next(path.parent for path in sorted(soaked.glob("chapter-*/case-*/run/answers.safetensors"))), run)
    assert list(check_run(run, None)) == []
    damage(run)
    problems = list(check_run(run, None))
    assert any(found in problem for problem in problems), problems
