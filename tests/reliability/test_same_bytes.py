"""The same recipe on the same machine gives the same bytes, whatever else differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from forks import Forks
from moments import AT, SHARDS

OTHER_ORDER = """
import os
listed, scanned = os.listdir, os.scandir
os.listdir = lambda *a: sorted(listed(*a), reverse=True)


class Scanned(list):
    def __enter__(self):
        return iter(self)

    def __exit__(self, *_):
        pass


os.scandir = lambda *a: Scanned(sorted(scanned(*a), key=lambda entry: os.fsdecode(entry.name), reverse=True))
"""
"""Folders show their files in another order."""
CLOCK = """
import os
import time
from transformers import Trainer
real, calls = time.time, [0]


def clock():
    calls[0] += 1
    return real() - 86_400 * (calls[0] // 20)


time.time = clock
saved = Trainer._save_checkpoint


def saved_then(self, *arguments, **options):
    saved(self, *arguments, **options)
    folder = os.path.join(self.args.output_dir, f"checkpoint-{self.state.global_step}")
    os.utime(folder, (real() - 86_400 * self.state.global_step,) * 2)


Trainer._save_checkpoint = saved_then
"""
"""Every so often it is a day earlier, and so are the checkpoints."""


def same_run(one: Path, other: Path) -> None:
    for name in ("student/model.safetensors", "answers.safetensors", "layers.jsonl"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert told(one) == told(other)


def told(run: Path) -> list[Any]:
    """Metrics and logs without what was measured."""
    metrics = json.loads((run / "metrics.json").read_text())
    for key in ("seconds", "teacher_rows_forwarded"):
        del metrics[key]
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    timed = ("runtime", "per_second")
    return [metrics, [{key: value for key, value in line.items() if not key.endswith(timed)} for line in log]]


def scores(folder: Path) -> dict[str, bytes]:
    (entry,) = (path for path in (folder / "cache" / "answers").iterdir() if path.is_dir())
    return {path.name: path.read_bytes() for path in entry.glob("*.npy")}


def test_warm_cache_and_another_name(forks: Forks, small: tuple[str, ...], whole: Path, tmp_path: Path):
    run = forks.start(*small, "--cache", whole / "cache", "--output", tmp_path / "quite another name")
    assert run.wait() == 0, run.errors
    same_run(whole / "run", tmp_path / "quite another name")


def test_cold_cache_another_hash_seed_and_order_of_files(small: tuple[str, ...], whole: Path, tmp_path: Path):
    """In a process of its own: text is hashed from another seed, folders are listed backwards."""
    with Forks(tmp_path / "forks", PYTHONHASHSEED="4711") as others:
        run = others.start(*small, "--cache", tmp_path / "cache", "--output", tmp_path / "run",
                           before=SHARDS + OTHER_ORDER)
        assert run.wait() == 0, run.errors
    same_run(whole / "run", tmp_path / "run")
    assert scores(tmp_path) == scores(whole)


FEW_AT_ONCE = """
import torch
import ukd_core.run.forward as forward
torch.set_num_threads({threads})
forward.TOKEN_BUDGET["cpu"] = 64
"""


def test_batches_of_the_teacher_at_once(forks: Forks, small: tuple[str, ...], tmp_path: Path):
    """Two threads run two batches at once, each as one thread would: the teacher's scores are the same."""
    for threads in (1, 2):
        run = forks.start(*small, "--no-check", "--method", "none", "--cache", tmp_path / str(threads) / "cache",
                          "--output", tmp_path / str(threads) / "run", before=FEW_AT_ONCE.format(threads=threads))
        assert run.wait() == 0, run.errors
    assert scores(tmp_path / "1") == scores(tmp_path / "2")


def test_a_clock_that_goes_back(forks: Forks, small: tuple[str, ...], whole: Path, tmp_path: Path):
    """The newest checkpoint is kept though it is the oldest by the clock, and a stopped run goes on from it."""
    command = [*small, "--cache", tmp_path / "cache", "--output", tmp_path / "run"]
    stopped = forks.start(*command, before=SHARDS + CLOCK + AT["writing"].format(number=15))
    assert stopped.wait() == 143, stopped.errors
    phase = tmp_path / "run" / "checkpoints" / "1-distil"
    assert sorted(path.name for path in phase.glob("checkpoint-*")) == ["checkpoint-3", "checkpoint-9"]  # 3 is best
    resumed = forks.start(*command, "--resume", before=SHARDS + CLOCK)
    assert resumed.wait() == 0, resumed.errors
    same_run(whole / "run", tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert all(seconds >= 0 for seconds in metrics["seconds"].values())
