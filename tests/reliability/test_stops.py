"""Ctrl-C, SIGTERM and a lost terminal at every part of a run: one line that says how to go on, and the same bytes."""

from __future__ import annotations

import shlex
import signal
import subprocess
from pathlib import Path

import pytest
from forks import Forks
from moments import AT, SHARDS

SIGNALS = {"preflight": signal.SIGINT, "pass": signal.SIGTERM, "training": signal.SIGINT, "writing": signal.SIGTERM,
           "verdict": signal.SIGHUP}
KEPT = {"preflight": "stopped before it had a folder; what the teacher learned and answered is kept in the cache.",
        "pass": "stopped before it had a folder; what the teacher learned and answered is kept in the cache.",
        "training": "stopped; phase 1-distil is kept up to step 6 of 9.",
        "writing": "stopped; phase 1-distil is complete, phase 2-finetune is complete.",
        "verdict": "stopped; the run itself is complete."}


@pytest.mark.parametrize("moment", SIGNALS)
def test_a_stopped_run_says_how_to_go_on_and_does(forks: Forks, small: tuple[str, ...], whole: Path, tmp_path: Path,
                                                  moment: str):
    command = [*small, "--cache", str(tmp_path / "cache"), "--output", str(tmp_path / "run")]
    stopped = forks.start(*command, before=SHARDS + AT[moment].format(number=int(SIGNALS[moment])))
    assert stopped.wait() == 128 + SIGNALS[moment]
    begun = moment not in ("preflight", "pass")
    assert begun == (tmp_path / "run").exists()
    again = shlex.join(["ukd", *command, *(["--resume"] if begun else [])])
    assert [line for line in stopped.errors.splitlines() if line.startswith("ukd: ")] == [
        f"ukd: run '{tmp_path / 'run'}': {KEPT[moment]} Go on with: {again}"]
    assert "Traceback" not in stopped.errors
    resumed = forks.start(*shlex.split(again)[1:], before=SHARDS)
    assert resumed.wait() == 0, resumed.errors
    for name in ("student/model.safetensors", "answers.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (whole / "run" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "answers.safetensors", "layers.jsonl", "log.jsonl", "metrics.json", "recipe.yaml", "student", "verdict.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "run"]


def test_a_replaced_run_is_not_resumed_in_place_of_the_new_one(forks: Forks, small: tuple[str, ...], tmp_path: Path,
                                                               whole: Path):
    """Stopped before the new run had a folder: the old one is still there, and --resume would continue that."""
    command = [*small, "--cache", str(whole / "cache"), "--output", str(whole / "run"), "--overwrite"]
    before = (whole / "run" / "recipe.yaml").read_bytes()
    stopped = forks.start(*command, before=AT["preflight"].format(number=int(signal.SIGINT)))
    assert stopped.wait() == 130
    assert stopped.errors.endswith(f"Go on with: {shlex.join(['ukd', *command])}\n")
    assert (whole / "run" / "recipe.yaml").read_bytes() == before


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="Linux says there whether a process stands still")
def test_two_runs_do_not_write_one_folder(forks: Forks, small: tuple[str, ...], whole: Path, tmp_path: Path):
    command = [*small, "--cache", whole / "cache", "--output", tmp_path / "run"]
    first = forks.start(*command, before=AT["training"].format(number=int(signal.SIGSTOP)))
    while Path(f"/proc/{first.pid}/stat").read_text(encoding="ascii").split()[2] != "T":
        assert first.poll() is None, first.errors
    try:
        for how in ("--resume", "--overwrite"):
            second = forks.start(*command, how)
            assert second.wait() == 2
            assert second.errors.splitlines()[-1] == (
                f"ukd: output '{tmp_path / 'run'}': expected a run that no process works on, got one that another "
                "does. Wait for it, stop it, or choose another folder.")
    finally:
        first.send(signal.SIGCONT)
    assert first.wait() == 0, first.errors


def test_who_reads_one_answer_of_many_is_not_told_of_a_pipe(forks: Forks, whole: Path, tmp_path: Path):
    """As ``ukd predict | head -1``: nobody reads any more."""
    (tmp_path / "texts").write_text("wheat\n" * 500)
    program = forks.start("predict", whole / "run", tmp_path / "texts", "--cache", tmp_path / "cache",
                          before="import os\nends = os.pipe()\nos.dup2(ends[1], 1)\nos.close(ends[0])\n")
    assert (program.wait(), program.errors) == (1, "")


def test_a_stopped_comparison_leaves_no_process(forks: Forks, few: Path, whole: Path, tmp_path: Path):
    command = ["compare", "--teacher", "bert:layers=2,hidden=32", "--teacher-tuning", "probe", "--data", few,
               "--students", "cnn:hidden=8,layers=1", "--methods", "logit-kd", "--seeds", "2", "--jobs", "2",
               "--max-length", "12", "--device", "cpu", "--epochs", "8", "--cache", whole / "cache", "--output",
               tmp_path / "c"]
    comparison = forks.start(*command)
    while len(list((tmp_path / "c").glob("runs/*/*/*.yaml"))) < 2:
        assert comparison.poll() is None, comparison.errors
    comparison.send(signal.SIGTERM)
    assert comparison.wait() == 143
    line = comparison.errors.splitlines()[-1]
    assert line.startswith(f"ukd: comparison '{tmp_path / 'c'}': stopped; runs that are complete: ")
    assert ". Go on with: ukd compare --teacher bert:layers=2,hidden=32 " in line
    assert list((tmp_path / "c").glob("runs/*/*/*.yaml")) == []
    assert str(tmp_path) not in subprocess.run(["ps", "-Ao", "args"], capture_output=True, text=True,
                                               check=True).stdout
