"""A file of texts is read, split, hashed and gone through without its rows ever being in memory together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ukd_core.run.data import read_data

LETTERS = 1000
FEW, MANY = 5_000, 25_000
BOUND_MB = 15.0
"""20,000 more texts are 20 MB of letters: held once as Python strings, or copied once into a table, they are more."""
WATCH = """
import sys, threading
from pathlib import Path
from ukd_core import Recipe
from ukd_core.run.fingerprint import data_facts
from ukd_core.run.plan import make_plan


def own_kb():
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("RssAnon:")[2].split()[0])


for folder in sys.argv[1:]:
    most, ended = [own_kb()], threading.Event()

    def watch():
        while not ended.wait(0.02):
            most.append(own_kb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    plan = make_plan(Recipe.make({
        "teacher": "cnn", "student": "cnn", "data": folder, "output": "none", "cache": folder + "-cache",
        "device": "cpu", "validation_fraction": 0.1}))
    data_facts(plan.data)
    letters = sum(map(len, plan.data.texts()))
    ended.set()
    watcher.join()
    print(max(most) / 1024, letters)
"""


def write(folder: Path, rows: int) -> None:
    """Twenty labelled rows and many others, long ones."""
    folder.mkdir()
    labelled = [{"text": f"word {row}", "label": "ab"[row % 2]} for row in range(20)]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in labelled), encoding="utf-8")
    with (folder / "unlabelled.jsonl").open("w", encoding="utf-8") as file:
        for row in range(rows):
            file.write(json.dumps({"text": f"word {row:x}".ljust(LETTERS, "x")}) + "\n")


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads what Linux says of a process's memory")
def test_memory_does_not_grow_with_the_rows(tmp_path: Path):
    for name, rows in (("few", FEW), ("many", MANY)):
        write(tmp_path / name, rows)
        # The library that reads files keeps tables of them; what it needs for a block of a file is not measured here.
        read_data(str(tmp_path / name), cache=tmp_path / f"{name}-cache")
    done = subprocess.run([sys.executable, "-c", WATCH, str(tmp_path / "few"), str(tmp_path / "many")],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (few, _), (many, letters) = (map(float, line.split()) for line in done.stdout.splitlines())
    assert letters > MANY * LETTERS
    assert many - few < BOUND_MB, f"{few:.0f} MB for {FEW:,} rows, {many:.0f} MB for {MANY:,}"
