"""A multi-label task from a named-entity one: which kinds of entity does a sentence mention?

    python benchmarks/entity_kinds.py PANX_FOLDER OUT_FOLDER

Reads ``train.parquet`` and ``validation.parquet`` with the columns tokens and ner_tags (0 for none, else B and I of
LOC, ORG and PER in this order); writes JSON lines with a text and a list of labels.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import datasets

KINDS = ("LOC", "ORG", "PER")


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    target.mkdir(parents=True, exist_ok=True)
    for split in ("train", "validation"):
        table = datasets.Dataset.from_parquet(str(source / f"{split}.parquet"))
        with (target / f"{split}.jsonl").open("w", encoding="utf-8") as file:
            for tokens, tags in zip(table["tokens"], table["ner_tags"], strict=True):
                kinds = sorted({KINDS[(int(tag) - 1) // 2] for tag in tags if int(tag) > 0})
                file.write(json.dumps({"text": " ".join(tokens), "labels": kinds}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
