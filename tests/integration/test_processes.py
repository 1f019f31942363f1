"""Two processes give what one gives: the same scores bit for bit, the same student within rounding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

# Of 160 rows, batches of 53 are parts of 27 and 26 rows, and one row is left, which both processes take.
OPTIONS = ["--teacher", "bert:layers=2,hidden=32", "--teacher-epochs", "1", "--student", "cnn:dropout=0,hidden=32",
           "--max-length", "24", "--epochs", "4", "--batch-size", "53", "--device", "cpu"]


STOPPED = """
from ukd_core.cli import main
from ukd_core.run import trainer
advance = trainer.ProgressBar.on_step_end

def stop(self, args, state, control, **rest):
    advance(self, args, state, control, **rest)
    if "finetune" in args.output_dir and state.global_step == 2:
        raise KeyboardInterrupt

trainer.ProgressBar.on_step_end = stop
main()
"""
PROBE = ("--teacher-tuning", "probe")  # the same teacher to the last bit: tuning it in two processes rounds


def start(program: list[str], count: int, news: Path, cache: Path, output: Path, *options: str
          ) -> subprocess.CompletedProcess[str]:
    """One thread each, as ``torchrun`` sets it: sums over threads would round differently."""
    several = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    command = [*(several if count > 1 else [sys.executable]), *program, "distill", *OPTIONS,
               "--data", str(news), "--cache", str(cache), "--output", str(output), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})


def run(count: int, news: Path, folder: Path, *options: str) -> Path:
    """A run in `folder`, with a cache of its own."""
    done = start(["-m", "ukd_core.cli"], count, news, folder / "cache", folder / "run", *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run folder:") == 1
    return folder


@pytest.fixture(scope="module")
def two(news: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes."""
    return run(2, news, tmp_path_factory.mktemp("two"), *PROBE)


def test_two_processes_give_what_one_gives(news: Path, two: Path, tmp_path: Path):
    one = run(1, news, tmp_path / "one", *PROBE)
    metrics = [json.loads((folder / "run" / "metrics.json").read_text()) for folder in (one, two)]
    assert [part["teacher_rows_forwarded"] for part in metrics] == [220, 220]
    for name in ("train.npy", "validation.npy"):
        scores = [next((folder / "cache" / "answers").glob(f"*/{name}")).read_bytes() for folder in (one, two)]
        assert scores[0] == scores[1]
    weights = [load_file(folder / "run" / "student" / "model.safetensors") for folder in (one, two)]
    for name, weight in weights[0].items():
        np.testing.assert_allclose(weights[1][name], weight, rtol=1e-3, atol=1e-4, err_msg=name)
    assert metrics[0]["layer_accuracy"] == metrics[1]["layer_accuracy"]


def test_two_processes_go_on_where_they_were_stopped(news: Path, two: Path, tmp_path: Path):
    """Over a half-written checkpoint and damaged answers, to the bytes of the run that nothing stopped."""
    cache, output = two / "cache", tmp_path / "run"
    (tmp_path / "stopped.py").write_text(STOPPED)
    stopped = start([str(tmp_path / "stopped.py")], 2, news, cache, output, *PROBE)
    assert stopped.returncode != 0 and "Go on with: ukd distill " in stopped.stderr
    assert stopped.stderr.count("teacher answers: reused from") == 1
    (phase,) = (output / "checkpoints").glob("*-finetune")
    (phase / "checkpoint-1").mkdir()
    (phase / "checkpoint-1" / "model.safetensors").write_bytes(b"half")
    (scores,) = (cache / "answers").glob("*/train.npy")
    sound = scores.read_bytes()
    scores.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    done = start(["-m", "ukd_core.cli"], 2, news, cache, output, *PROBE, "--resume", "--rebuild-damaged", "true")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("it is built anew") == 1
    assert next((cache / "answers").glob("*/train.npy")).read_bytes() == sound
    weights = [folder / "student" / "model.safetensors" for folder in (two / "run", output)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_teacher_is_tuned_by_two_processes(news: Path, tmp_path: Path):
    folder = run(2, news, tmp_path / "two", "--method", "logit-kd")
    assert len(list((folder / "cache" / "teachers").glob("*/model.safetensors"))) == 1
    metrics = json.loads((folder / "run" / "metrics.json").read_text())
    assert metrics["seconds"]["teacher_finetune"] > 0
