"""Large inputs: do they end well, and do memory, time and disk stay as ``ukd check`` estimated them?

    python benchmarks/load.py long        # 300 texts of 100,000 characters
    python benchmarks/load.py classes     # 500 classes: a run, its verdict, its report
    python benchmarks/load.py deep        # a teacher of 24 layers
    python benchmarks/load.py rows        # a million short texts
    python benchmarks/load.py together    # 10 runs at once on one cache

All but the last estimate and run `--times` times, in turns, each in a process of its own on one thread, and print the
median of each ratio. Seconds are those of the processor: other programs change them less than those of the clock.
Memory is the most of its own that the process held (RssAnon, read every 5 ms), libraries included; pages of files are
the system's to take back. How memory goes while a million rows are read is the question of `stream_texts.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

WORDS = [f"{first}{second}" for first in ("re", "un", "over", "out", "fore", "sub", "inter", "mis") for second in
         ("cast", "play", "run", "sight", "come", "line", "turn", "grow", "take", "done")]
Options = dict[str, Any]
WITHIN = 0.25
"""How far from the estimate a measure may be."""


def write_rows(folder: Path, rows: int, label: Callable[[int], str], words: Callable[[random.Random], int],
               split: str = "train") -> None:
    """Texts of random words, and the word that tells their label."""
    draw = random.Random(f"{split} {rows}")
    folder.mkdir(exist_ok=True)
    with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as file:
        for number in range(rows):
            text = " ".join([f"sign{label(number)}", *draw.choices(WORDS, k=words(draw))])
            file.write(json.dumps({"text": text, "label": label(number)}) + "\n")


def long_texts(folder: Path) -> Options:
    """300 texts of 100,000 characters; a model reads the first 512 tokens of each."""
    write_rows(folder / "data", 300, lambda number: "ab"[number % 2], lambda draw: 12_500)
    return {"teacher": "bert:layers=2,hidden=128", "student": "cnn", "max_length": 512, "epochs": 1,
            "teacher_tuning": "probe", "batch_size": 16}


def many_classes(folder: Path) -> Options:
    """500 classes of 10 rows each."""
    for split, each in (("train", 10), ("validation", 2)):
        write_rows(folder / "data", 500 * each, lambda number: f"class-{number % 500}",
                   lambda draw: draw.randint(4, 24), split)
    return {"teacher": "bert:layers=4,hidden=128", "student": "cnn", "max_length": 32, "epochs": 4,
            "teacher_tuning": "probe", "learning_rate": 5e-3}


def deep_teacher(folder: Path) -> Options:
    """A teacher of 24 layers, and a student of 6."""
    write_rows(folder / "data", 1500, lambda number: "abcd"[number % 4], lambda draw: draw.randint(4, 40))
    return {"teacher": "bert:layers=24,hidden=192", "student": "bert:layers=6,hidden=128", "max_length": 64,
            "epochs": 1, "teacher_tuning": "probe"}


def many_rows(folder: Path) -> Options:
    """A million texts of 6 to 13 words, all labelled."""
    write_rows(folder / "data", 1_000_000, lambda number: "abcd"[number % 4], lambda draw: draw.randint(5, 12))
    return {"teacher": "bert:layers=1,hidden=32,heads=2", "student": "cnn", "max_length": 32, "epochs": 1,
            "teacher_tuning": "probe", "batch_size": 256}


def recipe_of(folder: Path, options: Options) -> Any:
    from ukd_core import Recipe
    return Recipe.make({"data": str(folder / "data"), "output": str(folder / "run"), "cache": str(folder / "cache"),
                        "device": "cpu", **options})


def own_mb() -> float:
    """Memory of its own that this process holds."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024


@contextmanager
def most_memory() -> Iterator[list[float]]:
    """The most memory of its own while the block runs, as the first of a list."""
    most, ended = [own_mb()], threading.Event()

    def watch() -> None:
        while not ended.wait(0.005):
            most[0] = max(most[0], own_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        ended.set()
        watcher.join()


def estimated(folder: Path, options: Options) -> dict[str, float]:
    """The observed process: what ``ukd check`` says."""
    from ukd_core.run.preflight import preflight
    found = preflight(recipe_of(folder, options))
    found.tell()
    if found.trial is None:
        raise SystemExit("expected a plan that was tried, got none")
    kept, needed = found.cache_bytes()
    return {"teacher pass, s": found.pass_seconds(),
            "training, s": sum(each.all_seconds for each in found.trial.phases),
            "memory, MB": found.peak_bytes() / 2**20, "cache entry, MB": kept / 1e6, "while made, MB": needed / 1e6}


def measured(folder: Path, options: Options) -> dict[str, float]:
    """The observed process: the run."""
    from ukd_core import distill
    from ukd_core.run.progress import Reporter
    begin = time.perf_counter()
    with most_memory() as most:
        metrics = distill(recipe_of(folder, options), reporter=Reporter(quiet=True), speed=False)
    seconds = metrics["seconds"]
    entry = next(path for path in (folder / "cache" / "answers").iterdir() if path.is_dir())
    size = sum(path.stat().st_size for path in entry.glob("*.npy"))
    return {"teacher pass, s": seconds["teacher_pass"], "heads, s": seconds["heads"], "training, s": seconds["train"],
            "memory, MB": most[0], "cache entry, MB": size / 1e6, "whole run, s": time.perf_counter() - begin}


def observed(what: str, folder: Path, options: Options) -> dict[str, float]:
    """Estimate or run in a new process."""
    done = subprocess.run([sys.executable, __file__, what, "--folder", str(folder), "--options", json.dumps(options)],
                          env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compared(make: Callable[[Path], Options], times: int, after: Callable[[Path], Iterator[str]]) -> Iterator[str]:
    """A table of estimates and measures; then what `after` says of the last run."""
    pairs: list[tuple[Mapping[str, float], Mapping[str, float]]] = []
    with tempfile.TemporaryDirectory() as name:
        for turn in range(times):
            folder = Path(name) / str(turn)
            folder.mkdir()
            options = make(folder)
            pairs.append((observed("estimated", folder, options), observed("measured", folder, options)))
        yield f"{'':>16} {'estimated':>10} {'measured':>10} {'measured / estimated':>21}"
        for key, value in pairs[-1][1].items():
            ratios = [found[key] / told[key] for told, found in pairs if key in told]
            if ratios:
                middle = median(ratios)
                yield (f"{key:>16} {pairs[-1][0][key]:10.1f} {value:10.1f} {middle:12.2f} ({min(ratios):.2f} to "
                       f"{max(ratios):.2f}){'' if abs(middle - 1) <= WITHIN else '  beyond 25 %'}")
            else:
                yield f"{key:>16} {'':>10} {value:10.1f}"
        yield from after(folder)


def nothing(folder: Path) -> Iterator[str]:
    yield from ()


def reported(folder: Path) -> Iterator[str]:
    """Of a run with many classes: its verdict and its page."""
    for command in (["verdict", str(folder / "run")], ["report", str(folder / "run")]):
        begin = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "ukd_core.cli", *command], capture_output=True, text=True,
                              check=True)
        yield f"ukd {command[0]}: {time.perf_counter() - begin:.1f} s, {len(done.stdout):,} letters"
    yield f"report.html: {(folder / 'run' / 'report.html').stat().st_size / 1e6:.2f} MB"


def together(runs: int = 10) -> Iterator[str]:
    """Runs of different seeds that begin at once on an empty cache."""
    from forked import finished, prepare, ukd
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder / "tmp")
        write_rows(folder / "data", 2000, lambda number: "abcd"[number % 4], lambda draw: draw.randint(4, 24))
        begin = time.perf_counter()
        children = [ukd(folder / f"logs-{seed}", "distill", "--teacher=bert:layers=4,hidden=64", "--student=cnn",
                        f"--data={folder / 'data'}", f"--output={folder / f'run-{seed}'}", f"--seed={seed}",
                        f"--cache={folder / 'cache'}", "--device=cpu", "--max-length=32", "--epochs=1",
                        "--teacher-epochs=0.2", "--no-speed") for seed in range(runs)]
        late = finished(children, 600.0)
        seconds = time.perf_counter() - begin
        forwarded = sorted(json.loads((folder / f"run-{seed}" / "metrics.json").read_text())["teacher_rows_forwarded"]
                           for seed in range(runs) if (folder / f"run-{seed}" / "metrics.json").is_file())
        verify = ukd(folder / "logs-verify", "cache", "verify", f"--cache={folder / 'cache'}")
        finished([verify], 60.0)
        yield f"{runs} runs at once: {[child.status for child in children]}, {late or 'none hung'}, {seconds:.0f} s"
        yield f"rows forwarded by each: {forwarded}"
        yield f"ukd cache verify: status {verify.status}, {verify.out.strip()}"
        yield f"teachers tuned: {len([path for path in (folder / 'cache' / 'teachers').iterdir() if path.is_dir()])}"


QUESTIONS: dict[str, tuple[Callable[[Path], Options], Callable[[Path], Iterator[str]]]] = {
    "long": (long_texts, nothing), "classes": (many_classes, reported), "deep": (deep_teacher, nothing),
    "rows": (many_rows, nothing)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", choices=[*QUESTIONS, "together", "estimated", "measured"], metavar="question",
                        help=", ".join([*QUESTIONS, "together"]))
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--options", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        time.perf_counter = time.process_time
        print(json.dumps((estimated if options.question == "estimated" else measured)(options.folder,
                                                                                       options.options)))
        return
    lines = together() if options.question == "together" else compared(
        QUESTIONS[options.question][0], options.times, QUESTIONS[options.question][1])
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    main()
