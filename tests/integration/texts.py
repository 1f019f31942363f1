"""Small files of texts for whole runs."""

from __future__ import annotations

import json
from pathlib import Path

import datasets

CLASSES = ("acq", "crude", "earn", "trade")


def write_jsonl(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def few_of_each(split: datasets.Dataset, each: int) -> list[dict[str, object]]:
    taken: dict[str, list[dict[str, object]]] = {name: [] for name in CLASSES}
    for text, label in zip(split["text"][:], split["label"][:], strict=True):
        if label in taken and len(taken[label]) < each:
            taken[label].append({"text": text, "label": label})
    return [row for rows in zip(*taken.values(), strict=True) for row in rows]
