"""What all cases share: good data in every format, a finished run, its export, a comparison, one cache."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ukd_core import Recipe, distill
from ukd_core.plugins import load_registry
from ukd_core.run.compare import Grid, run_grid, summarise
from ukd_core.run.export.folders import export
from ukd_core.run.progress import Reporter
from ukd_core.run.verdict import write_verdict

WORDS = ("oil", "grain", "profit", "ship", "tariff", "loss", "crude", "wheat", "bank", "dollar")
MODEL = "cnn:layers=2,hidden=8,embedding_width=8,embeddings=random"
"""A teacher, or a student, of a few thousand weights."""
CHEAP = {"epochs": 1, "max_length": 16, "device": "cpu", "teacher_tuning": "probe"}
"""Keys of a recipe that make a run a matter of a second."""
Row = Mapping[str, object]


def good_rows(count: int = 24) -> list[Row]:
    """Rows of two classes that a word tells apart."""
    texts = [" ".join(WORDS[(row * 7 + place * (3 + row % 5)) % 10] for place in range(3 + row % 6))
             for row in range(count)]
    return [{"text": text, "label": "food" if "wheat" in text else "other"} for text in texts]


def as_csv(rows: Sequence[Row], separator: str = ",") -> bytes:
    """A table with a header; columns are those of the first row."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(rows[0]), delimiter=separator, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def as_jsonl(rows: Sequence[Row]) -> bytes:
    """An object a line."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_parquet(columns: Mapping[str, object]) -> bytes:
    """A table from columns: lists, or arrays of pyarrow."""
    file = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), file)
    return file.getvalue()


@dataclass(frozen=True)
class World:
    """A folder with ``data/``, ``data.csv``, ``run/``, ``hf/``, ``compared/`` and ``cache/``."""

    folder: Path

    @property
    def cache(self) -> Path:
        """The cache of all cases."""
        return self.folder / "cache"

    @classmethod
    def make(cls, folder: Path) -> World:
        """Make it with whole runs, a matter of seconds; one that is there already is taken as it is."""
        world, finished = cls(folder), folder / "complete"
        if finished.exists():
            return world
        rows = good_rows()
        (folder / "data").mkdir(parents=True, exist_ok=True)
        (folder / "data" / "train.jsonl").write_bytes(as_jsonl(rows))
        (folder / "data" / "validation.jsonl").write_bytes(as_jsonl(good_rows(12)))
        (folder / "data.csv").write_bytes(as_csv(rows))
        (folder / "texts.txt").write_text("oil and grain\nbank\n", encoding="utf-8")
        quiet = Reporter(quiet=True)
        shared = {"teacher": MODEL, "data": str(folder / "data"), "cache": str(world.cache), **CHEAP}
        recipe = Recipe.make({**shared, "student": MODEL, "output": str(folder / "run"), "method": "logit-kd"})
        distill(recipe, reporter=quiet)
        write_verdict(folder / "run")
        registry = load_registry()
        export(str(folder / "run"), "hf", registry, world.cache, output=str(folder / "hf"))
        grid = Grid.make(shared, [MODEL], ["logit-kd"], 1, folder / "compared")
        summarise(grid, run_grid(grid, 1, quiet), registry)
        finished.touch()
        return world
