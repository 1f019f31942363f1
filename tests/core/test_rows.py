"""Tokenized rows are kept on disk and read again by any model with the same tokenizer."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest
import torch

from ukd_core import BuildContext
from ukd_core.plugins import Registry
from ukd_core.run.data import TaskData
from ukd_core.run.rows import tokenize_data

TEXTS = ["word3 and word7", "word9", ""]


@pytest.mark.parametrize("adapter", ["bert", "roberta", "cnn"])
def test_tokens_are_kept_on_disk(adapter: str, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    space = registry.output_spaces.lookup("classes")(["a", "b"])
    kind = registry.layer_sources.lookup(adapter)
    source = kind.build(kind.Options(layers=1, hidden=16), BuildContext(space, TEXTS * 20, None, 32, 0))
    split = datasets.Dataset.from_dict({"text": TEXTS, "pair": TEXTS[::-1], "label": [0, 1, 0], "row": [0, 1, 2]})
    data = TaskData({"train": split}, space, pairs=True)
    first = tokenize_data(source, data, 32, tmp_path)["train"]
    expected = source.pad(source.tokenize(TEXTS, TEXTS[::-1], max_length=32))
    monkeypatch.setattr(type(source), "tokenize", None)  # from here on nothing can be tokenized
    again = tokenize_data(source, data, 32, tmp_path)["train"]
    for rows in (first, again):
        batch = rows.batch(torch.arange(3))
        assert batch.keys() == expected.keys()
        assert all(torch.equal(batch[key], expected[key]) for key in batch)
    assert len(list((tmp_path / "tokens").iterdir())) == 1


def test_tokens_stay_in_their_files(registry: Registry, tmp_path: Path):
    """What is read is mapped into memory, not copied: the operating system lists the files."""
    space = registry.output_spaces.lookup("classes")(["a", "b"])
    kind = registry.layer_sources.lookup("cnn")
    source = kind.build(kind.Options(layers=1, hidden=16), BuildContext(space, TEXTS, None, 32, 0))
    split = datasets.Dataset.from_dict({"text": TEXTS * 700, "label": [0, 1, 0] * 700})
    rows = tokenize_data(source, TaskData({"train": split}, space, pairs=False), 32, tmp_path)["train"]
    assert len(rows) == 2100
    if Path("/proc/self/maps").is_file():
        mapped = Path("/proc/self/maps").read_text(encoding="utf-8")
        (entry,) = (tmp_path / "tokens").iterdir()
        assert {path.name for path in entry.glob("*.tokens")} == {"input_ids.tokens", "attention_mask.tokens"}
        assert all(str(path) in mapped for path in entry.glob("*.tokens"))
    assert rows.lengths().tolist() == [4, 2, 1] * 700
