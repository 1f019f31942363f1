"""Does the memory of a teacher pass grow with the rows?

    python benchmarks/pass_memory.py --rows 100000

A small random teacher answers generated texts in a process of its own (a run with one training step); this process
reads from Linux how much private memory it holds, and how many rows are written, four times a second. The table gives
the most that was held while each tenth of the pass was written.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ukd_plugins.output_spaces.classes import ClassesSpace

from ukd_adapters import BertLayerSource
from ukd_core import BuildContext, Recipe, distill
from ukd_core.run.cache.building import SHARD_ROWS
from ukd_core.run.progress import Reporter

STUDENT = "cnn:layers=1,hidden=8,embeddings=random,embedding_width=8"
WORDS = [f"{first}{second}" for first in ("re", "un", "over", "out", "fore") for second in
         ("cast", "play", "run", "sight", "come", "line", "turn", "grow", "take", "done")]


def write_inputs(folder: Path, rows: int) -> None:
    """Texts of 4 to 40 words with two labels, and a teacher of two narrow layers."""
    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(4, 40))) for _ in range(rows)]
    (folder / "data").mkdir()
    with (folder / "data" / "train.jsonl").open("w", encoding="utf-8") as file:
        for number, text in enumerate(texts):
            file.write(json.dumps({"text": text, "label": "ab"[number % 2]}) + "\n")
    options = BertLayerSource.Options(layers=2, hidden=32, intermediate=64, vocab_size=500)
    context = BuildContext(ClassesSpace(["a", "b"]), texts[:1000], None, 64, 0)
    BertLayerSource.build(options, context).save(folder / "teacher")


def run(folder: Path) -> None:
    """The observed process."""
    distill(Recipe.make({"teacher": str(folder / "teacher"), "student": STUDENT, "data": str(folder / "data"),
                         "output": str(folder / "out"), "cache": str(folder / "cache"), "validation_fraction": 0.0,
                         "max_length": 64, "epochs": 1e-6, "device": "cpu"}), reporter=Reporter(quiet=True))


def observe(folder: Path) -> Iterator[tuple[int, float, float]]:
    """Rows written, private and file-backed memory in MB, until the process ends."""
    with subprocess.Popen([sys.executable, __file__, "--folder", str(folder)]) as child:
        while child.poll() is None:
            shards = list((folder / "cache" / "answers").glob("*.work/*-scores-*.safetensors"))
            try:
                status = Path(f"/proc/{child.pid}/status").read_text(encoding="ascii")
            except OSError:
                break
            held = {name: int(rest.split()[0]) / 1024 for name, _, rest in
                    (line.partition(":") for line in status.splitlines()) if name in ("RssAnon", "RssFile")}
            if held:
                yield len(shards) * SHARD_ROWS, held["RssAnon"], held["RssFile"]
            time.sleep(0.25)
    if child.returncode:
        raise SystemExit(child.returncode)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        run(options.folder)
        return
    with tempfile.TemporaryDirectory() as name:
        write_inputs(Path(name), options.rows)
        seen = [sample for sample in observe(Path(name)) if sample[0]]
    print(f"{'rows written':>14} {'private MB':>11} {'of files MB':>12}")
    for tenth in range(1, 11):
        begin, end = (options.rows * part / 10 for part in (tenth - 1, tenth))
        part = [sample for sample in seen if begin < sample[0] <= end or (tenth == 10 and sample[0] > end)]
        if part:
            print(f"{max(each[0] for each in part):14,} {max(each[1] for each in part):11.0f} "
                  f"{max(each[2] for each in part):12.0f}")


if __name__ == "__main__":
    main()
