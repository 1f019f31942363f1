"""Does a file of texts that is larger than memory go into the cache of the teacher's answers with flat memory?

    python benchmarks/stream_texts.py --rows 1000000

Generates so many short unlabelled texts, 200 labelled ones and a BERT teacher of one layer of width 32. A process of
its own then reads them, tokenizes them and asks the teacher. While it does, it reads from Linux how much memory of its
own it holds (RssAnon), how much it holds in all, pages of mapped files included (VmRSS), and the most of that so far
(VmHWM). Pages of files are the operating system's to take back; memory of its own is what runs out.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

WORDS = [f"{first}{second}" for first in ("re", "un", "over", "out", "fore") for second in
         ("cast", "play", "run", "sight", "come", "line", "turn", "grow", "take", "done")]
LABELLED = 200
SIZES = {"layers": 1, "hidden": 32, "heads": 2, "intermediate": 64, "vocab_size": 500}
Sample = tuple[str, int, float, dict[str, float]]
"""Stage, rows done in it, seconds since the start, MB by kind of memory."""


def write_inputs(folder: Path, rows: int, words: int) -> None:
    """Texts of `words` / 2 to `words` words, written one by one, and the teacher."""
    from ukd_plugins.output_spaces.classes import ClassesSpace

    from ukd_adapters import BertLayerSource
    from ukd_core import BuildContext
    draw = random.Random(0)
    (folder / "data").mkdir()
    with (folder / "data" / "train.jsonl").open("w", encoding="utf-8") as file:
        for number in range(LABELLED):
            file.write(json.dumps({"text": f"{draw.choice(WORDS)} {number}", "label": "ab"[number % 2]}) + "\n")
    with (folder / "data" / "unlabelled.jsonl").open("w", encoding="utf-8") as file:
        for number in range(rows):
            text = " ".join(draw.choices(WORDS, k=draw.randint(words // 2, words)))
            file.write(json.dumps({"text": f"{text} {number}"}) + "\n")
    context = BuildContext(ClassesSpace(["a", "b"]), WORDS, None, 64, 0)
    BertLayerSource.build(BertLayerSource.Options(**SIZES), context).save(folder / "teacher")


def memory() -> dict[str, float]:
    """MB that this process holds, by Linux's name for it."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return {name: int(rest.split()[0]) / 1024 for name, _, rest in (line.partition(":") for line in lines)
            if name in ("RssAnon", "VmRSS", "VmHWM")}


@contextmanager
def watched(where: Callable[[], tuple[str, int]]) -> Iterator[list[Sample]]:
    """Note stage, rows and memory ten times a second while the block runs."""
    samples: list[Sample] = []
    start, ended = time.perf_counter(), threading.Event()

    def watch() -> None:
        while not ended.is_set():
            samples.append((*where(), time.perf_counter() - start, memory()))
            ended.wait(0.1)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


def run(folder: Path) -> list[Sample]:
    """The observed process: everything up to the teacher's answers, as a run does it."""
    from ukd_core import Recipe
    from ukd_core.run.cache.building import SHARD_ROWS
    from ukd_core.run.distill import ask_teachers
    from ukd_core.run.plan import make_plan
    from ukd_core.run.processes import Processes
    from ukd_core.run.progress import Reporter
    recipe = Recipe.make({"teacher": str(folder / "teacher"), "student": "cnn", "data": str(folder / "data"),
                          "output": str(folder / "out"), "cache": str(folder / "cache"), "max_length": 16,
                          "device": "cpu", "method": "logit-kd"})
    stage = "reading"

    def where() -> tuple[str, int]:
        lengths = [path.stat().st_size // 4 for path in (folder / "cache" / "tokens").glob("*/lengths")]
        shards = len(list((folder / "cache" / "answers").glob("*.work/*-scores-*.safetensors")))
        if shards:
            return "teacher pass", shards * SHARD_ROWS
        return ("tokenizing", max(lengths)) if lengths and stage != "reading" else (stage, 0)

    with watched(where) as samples:
        plan = make_plan(recipe)
        stage = "tokenizing"
        ask_teachers(plan, Processes("cpu"), Reporter(quiet=True))
    return samples


def table(samples: list[Sample], rows: int) -> Iterator[str]:
    """The most memory of each stage, the teacher pass in tenths of its rows."""
    yield f"{'stage':>12} {'rows done':>12} {'rows/s':>8} {'own MB':>7} {'VmRSS MB':>9} {'VmHWM MB':>9}"
    parts: dict[tuple[str, int], list[Sample]] = {}
    for sample in samples:
        tenth = min(sample[1] * 10 // max(rows, 1), 10) if sample[0] != "reading" else 0
        parts.setdefault((sample[0], tenth), []).append(sample)
    begins = {stage: min(sample[2] for sample in samples if sample[0] == stage) for stage, _ in parts}
    for (stage, _), part in parts.items():
        done, seconds = part[-1][1], part[-1][2] - begins[stage]
        most = {name: max(sample[3][name] for sample in part) for name in part[0][3]}
        speed = f"{done / seconds:,.0f}" if done and seconds > 0.5 else ""
        yield (f"{stage:>12} {done:12,} {speed:>8} {most['RssAnon']:7.0f} {most['VmRSS']:9.0f} "
               f"{most['VmHWM']:9.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--words", type=int, default=12, help="most words of a text")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        samples = run(options.folder)
        print("\n".join(table(samples, options.rows)))
        print(f"most memory of its own: {max(sample[3]['RssAnon'] for sample in samples):.1f} MB, "
              f"{options.rows / samples[-1][2]:,.0f} rows/s in all")
        return
    with tempfile.TemporaryDirectory() as name:
        write_inputs(Path(name), options.rows, options.words)
        size = (Path(name) / "data" / "unlabelled.jsonl").stat().st_size / 1e6
        print(f"{options.rows:,} texts, {size:,.0f} MB", flush=True)
        subprocess.run([sys.executable, __file__, "--folder", name, "--rows", str(options.rows)], check=True)


if __name__ == "__main__":
    main()
