"""The blocks of README and of the site's first page run as they stand, beside a teacher and reviews of those names."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from documents import ROOT, blocks
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

Command = Callable[..., tuple[int, str, str]]
GOOD = ["a gripping story", "warm and funny from start to end", "what a fine film", "the cast is a joy"]
BAD = ["a dull plot", "cold and slow from start to end", "what a poor film", "the cast is a bore"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the documents speak of: my-finetuned-bert, reviews.csv, reviews-new.csv."""
    folder = tmp_path_factory.mktemp("desk")
    rows = [f"{text},{label}" for _ in range(5) for pair in zip(GOOD, BAD, strict=True)
            for text, label in zip(pair, ("good", "bad"), strict=True)]
    for name in ("reviews.csv", "reviews-new.csv"):
        (folder / name).write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    words = sorted({word for text in GOOD + BAD for word in text.split()})
    teacher = folder / "my-finetuned-bert"
    teacher.mkdir()
    (teacher / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    BertTokenizerFast(str(teacher / "vocab.txt")).save_pretrained(teacher)
    torch.manual_seed(0)
    BertForSequenceClassification(BertConfig(
        vocab_size=5 + len(words), hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=128, id2label={0: "bad", 1: "good"}, label2id={"bad": 0, "good": 1},
        problem_type="single_label_classification")).save_pretrained(teacher)
    return folder


def commands_of(document: str) -> list[str]:
    """The commands of the block that begins with a distillation, as in a shell but without comments."""
    (block,) = [block for block in blocks(document) if "ukd distill" in block.body]
    lines = [line.removeprefix("$ ") for line in block.body.splitlines()]
    return [part.strip() for line in lines for part in line.partition("#")[0].split(";")
            if not line.startswith("make ")]


def test_commands_of_the_readme_run_in_their_order(desk: Path, ukd: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(desk)
    monkeypatch.setenv("XDG_CACHE_HOME", str(desk / "cache"))
    printed = {}
    for line in commands_of("README.md"):
        said, _, command = line.rpartition(" | ")
        monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(shlex.split(said)[1:])))
        program, *arguments = shlex.split(command)
        assert program == "ukd"
        status, out, err = ukd(*arguments)
        assert status == 0, err
        printed[arguments[0]] = out
    assert list(printed) == ["check", "distill", "eval", "predict", "suggest", "export", "bench", "methods", "plugins"]
    assert printed["check"].endswith("0 warnings\n")
    assert json.loads(printed["eval"])["rows"] == 40
    assert json.loads(printed["predict"])["label"] in ("good", "bad")


def test_commands_of_the_site_are_those_of_the_readme():
    assert commands_of("docs/index.md") == commands_of("README.md")


def test_python_of_the_readme_runs(desk: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(desk)
    monkeypatch.setenv("XDG_CACHE_HOME", str(desk / "cache"))
    (block,) = [block for block in blocks("README.md") if block.language == "python"]
    names: dict[str, Any] = {}
    exec(block.body.replace('output="runs/reviews"', 'output="runs/python"'), names)
    assert names["metrics"]["student"]["layers"] == 2
    assert (desk / "runs" / "python" / "student" / "config.json").is_file()


def test_make_targets_of_the_documents_exist():
    heads = re.findall(r"^([a-z -]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    there = {target for head in heads for target in head.split()}
    found = set()
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "tests/README.md"]:
        document = path.relative_to(ROOT).as_posix()
        targets = set(re.findall(r"`make ([a-z-]+)`", path.read_text(encoding="utf-8")))
        for block in blocks(document):
            targets.update(re.findall(r"^(?:\$ )?make ([a-z-]+)", block.body, re.MULTILINE))
        assert targets - there == set(), document
        found |= targets
    assert {"demo", "test", "check"} <= found
