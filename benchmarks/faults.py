"""Runs that are disturbed, many of them: how each ended, and whether it went on to the bytes of an undisturbed one.

    python benchmarks/faults.py stops --runs 60    signals at random moments, Ctrl-C, SIGTERM and SIGHUP in turn
    python benchmarks/faults.py disks              a run on disks of growing size, until one is large enough; needs root
    python benchmarks/faults.py processes          of two processes that share a run one is killed: the other ends too

It starts runs as the tests of ``tests/reliability`` do. Exit status 1 where something was not as it should be.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "reliability"))

from forks import Fork, Forks  # noqa: E402
from moments import SHARDS  # noqa: E402

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WORDS = ("oil", "grain", "profit", "ship", "tariff", "loss", "crude", "wheat", "bank", "dollar")


def small_run(folder: Path) -> list[str]:
    """Made-up data, and the options of a run of two phases without its cache and output."""
    data = folder / "train.jsonl"
    with data.open("w", encoding="utf-8") as file:
        for row in range(96):
            words = [WORDS[(row * 7 + place * (3 + row % 5)) % 10] for place in range(3 + row % 9)]
            file.write(json.dumps({"text": " ".join(words), "label": "food" if "wheat" in words else "other"}) + "\n")
    return ["distill", "--teacher", "bert:layers=2,hidden=32", "--teacher-tuning", "probe", "--student",
            "cnn:hidden=8,layers=1", "--data", str(data), "--max-length", "12", "--epochs", "4", "--device", "cpu",
            "--no-speed"]


def weights(run: Path) -> bytes:
    """Of its student."""
    return (run / "student" / "model.safetensors").read_bytes()


def one_line(run: Fork) -> bool:
    """Whether it ended with a single line of its own and no traceback."""
    lines = [line for line in run.errors.splitlines() if line.startswith("ukd: ")]
    return len(lines) == 1 and "Traceback" not in run.errors and "Exception ignored" not in run.errors


def ended_well(run: Fork) -> None:
    """See that a run which nothing disturbs ends as it should."""
    if run.wait():
        raise SystemExit(run.errors)


def stops(forks: Forks, folder: Path, runs: int, seed: int) -> list[str]:
    """Stop runs at random moments, again and again until each ends by itself; what was wrong."""
    command, draw = small_run(folder), random.Random(seed)
    for name in ("first", "whole"):  # what a first run imports is no part of the time of the others
        start = time.perf_counter()
        whole = forks.start(*command, "--cache", folder / f"{name}-cache", "--output", folder / name, before=SHARDS)
        ended_well(whole)
    span, wrong, ended = time.perf_counter() - start, [], Counter[int]()
    for number in range(runs):
        place = folder / str(number)
        options = [*command, "--cache", str(place / "cache"), "--output", str(place / "run")]
        how: list[str] = []
        for _ in range(3):
            run = forks.start(*options, *how, before=SHARDS)
            time.sleep(draw.uniform(0, span))
            run.send(SIGNALS[number % len(SIGNALS)])
            ended[status := run.wait()] += 1
            if run.errors == "" and status == -SIGNALS[number % len(SIGNALS)]:
                continue  # before the program had begun
            if status != 0 and (status != 128 + SIGNALS[number % len(SIGNALS)] or not one_line(run)):
                wrong.append(f"run {number}: exit status {status}: {run.errors[-500:]}")
            how = ["--resume"] if (place / "run" / "recipe.yaml").is_file() else []
        run = forks.start(*options, *how, before=SHARDS)
        if run.wait() or weights(place / "run") != weights(folder / "whole"):
            wrong.append(f"run {number}: went on to something else: {run.errors[-500:]}")
        litter = [path.name for path in (*place.iterdir(), *(place / "run").iterdir()) if path.name.startswith(".")]
        wrong += [f"run {number}: left {litter}"] if litter else []
        print(f"{number + 1} runs, {sum(ended.values())} signals, exit statuses {dict(ended)}, wrong: {len(wrong)}",
              flush=True)
    return wrong


def disks(forks: Forks, folder: Path) -> list[str]:
    """Let the disk of the output, then that of the cache, be too small in steps of 8 kB; what was wrong."""
    command, wrong, place = small_run(folder), [], folder / "disk"
    place.mkdir()
    whole = forks.start(*command, "--cache", folder / "cache", "--output", folder / "whole")
    ended_well(whole)
    for which in ("output", "cache"):
        for size in range(8, 2_000, 8):
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(place)], check=True)
            try:
                output, cache = ((place / "run", folder / "cache") if which == "output" else
                                 (folder / f"run-{size}", place / "cache"))
                options = [*command, "--cache", str(cache), "--output", str(output)]
                run = forks.start(*options)
                status = run.wait()
                print(which, size, "kB:", status, run.errors.splitlines()[-1][:110] if status else "", flush=True)
                if status == 0:
                    break
                subprocess.run(["mount", "-o", "remount,size=50m", str(place)], check=True)
                again = forks.start(*options, *(["--resume"] if (output / "recipe.yaml").is_file() else []))
                if status != 2 or not one_line(run) or again.wait() or weights(output) != weights(folder / "whole"):
                    wrong.append(f"{which} {size} kB: {status} {run.errors[-500:]}")
            finally:
                subprocess.run(["umount", str(place)], check=True)
    return wrong


def processes(folder: Path) -> list[str]:
    """Kill one of two processes in training, as a machine without memory does; what was wrong."""
    command = small_run(folder)
    command[command.index("--epochs") + 1] = "400"
    run = subprocess.Popen([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m",
                            "ukd_core.cli", *command, "--cache", str(folder / "cache"), "--output",
                            str(folder / "run")], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                           env={**os.environ, "OMP_NUM_THREADS": "1"})
    while run.poll() is None and not any((folder / "run").glob("checkpoints/*/checkpoint-*")):
        time.sleep(0.1)
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text(encoding="ascii").split()
    os.kill(int(children[-1]), signal.SIGKILL)
    start = time.perf_counter()
    _, errors = run.communicate(timeout=120)
    told = [line for line in errors.splitlines() if line.startswith("ukd: ")]
    print(f"the other process and the launcher ended {time.perf_counter() - start:.0f} s later, status "
          f"{run.returncode}; it said: {told}", flush=True)
    ours = errors.partition("torch/distributed/run.py")[0]
    return [] if run.returncode and len(told) == 1 and "ukd_core/" not in ours else [errors[-3000:]]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", choices=("stops", "disks", "processes"))
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, Forks(Path(name) / "forks") as forks:
        folder = Path(name)
        wrong = {"stops": lambda: stops(forks, folder, asked.runs, asked.seed), "disks": lambda: disks(forks, folder),
                 "processes": lambda: processes(folder)}[asked.question]()
    print("\n".join(wrong) or "nothing was wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
