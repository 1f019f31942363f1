"""Two processes give what one gives: the same scores bit for bit, the same student within rounding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors.torch import load_file

OPTIONS = ["--teacher", "bert:layers=2,hidden=32", "--teacher-epochs", "1", "--student", "cnn:dropout=0,hidden=32",
           "--max-length", "24", "--epochs", "2", "--batch-size", "24", "--device", "cpu"]


def run(count: int, news: Path, folder: Path, *options: str) -> Path:
    """One thread each, as ``torchrun`` sets it: sums over threads would round differently."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", "-m"]
    command = [*(start if count > 1 else [sys.executable, "-m"]), "ukd_core.cli", "distill", *OPTIONS,
               "--data", str(news), "--cache", str(folder / "cache"), "--output", str(folder / "run"), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run folder:") == 1
    return folder


def test_two_processes_give_what_one_gives(news: Path, tmp_path: Path):
    probe = ("--teacher-tuning", "probe")  # the same teacher to the last bit: tuning it in two processes rounds
    one = run(1, news, tmp_path / "one", *probe)
    two = run(2, news, tmp_path / "two", *probe)
    metrics = [json.loads((folder / "run" / "metrics.json").read_text()) for folder in (one, two)]
    assert [part["teacher_rows_forwarded"] for part in metrics] == [220, 220]
    for name in ("train.npy", "validation.npy"):
        scores = [next((folder / "cache" / "answers").glob(f"*/{name}")).read_bytes() for folder in (one, two)]
        assert scores[0] == scores[1]
    weights = [load_file(folder / "run" / "student" / "model.safetensors") for folder in (one, two)]
    for name, weight in weights[0].items():
        np.testing.assert_allclose(weights[1][name], weight, rtol=1e-3, atol=1e-4, err_msg=name)
    assert metrics[0]["layer_accuracy"] == metrics[1]["layer_accuracy"]


def test_a_teacher_is_tuned_by_two_processes(news: Path, tmp_path: Path):
    folder = run(2, news, tmp_path / "two", "--method", "logit-kd")
    assert len(list((folder / "cache" / "teachers").glob("*/model.safetensors"))) == 1
    metrics = json.loads((folder / "run" / "metrics.json").read_text())
    assert metrics["seconds"]["teacher_finetune"] > 0
