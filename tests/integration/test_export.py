"""Exported folders: the same answers as the model that they were made from, also where neither torch nor UKD is."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from texts import write_jsonl
from tokenizers import Tokenizer

from ukd_core import BuildContext
from ukd_core.plugins import Registry
from ukd_core.run.answer import load_model
from ukd_core.run.export.folders import export, make_int8

Command = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).parents[2]
LIMIT = 24
ENCODER = {"layers": 1, "hidden": 16, "heads": 2, "intermediate": 24, "vocab_size": 400}
WORDS = {"layers": 1, "hidden": 10, "embedding_width": 12, "embeddings": "random"}
KINDS = {
    "bert": ("bert", ENCODER, "classes"),
    "roberta": ("roberta", {**ENCODER, "pooling": "mean"}, "regression"),
    "mpnet": ("mpnet", ENCODER, "classes"),
    "distilbert": ("distilbert", ENCODER, "multilabel"),
    "cnn": ("cnn", {**WORDS, "pooling": "max"}, "multilabel"),
    "bilstm": ("bilstm", WORDS, "classes"),
    "bag": ("bag", {**WORDS, "layers": 2, "ngrams": 3, "buckets": 50}, "classes"),
}
TEXTS = [f"{first} {second} of the harbour" for first in ("a choir", "rain", "bread and", "The Ferry's")
         for second in ("market", "bridge", "apple sings", "engineer")]
NASTY = ["", " ", "🙂🙂 naïve CAFÉ", "شکر از بازار", "[SEP] [PAD] <s> ##ing", "rain \u200b\x00 market\u00a0bridge 漢字",
         "harbour " * 1250, "x" * 10_000, "a choir market of the harbour"]
FILES = {"README.md", "model.onnx", "predict.py", "tokenizer.json", "ukd.json"}
OTHERS = [*NASTY[-2:], *NASTY[:-2]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Path:
    """One folder of each kind, with random weights, and rows of data for each output space."""
    folder = tmp_path_factory.mktemp("models")
    for space, label in (("classes", "b"), ("multilabel", ["a", "c"]), ("regression", 0.5)):
        other = {"classes": "a", "multilabel": ["b"], "regression": 1.5}[space]
        (folder / "data" / space).mkdir(parents=True)
        write_jsonl(folder / "data" / space / "train.jsonl", [
            {"text": text, "label": other if "a" in text.split() else label} for text in TEXTS])
    for name, (adapter, options, space) in KINDS.items():
        kind, meaning = registry.layer_sources.lookup(adapter), registry.output_spaces.lookup(space)
        labels = ["score"] if space == "regression" else ["a", "b", "c"]
        source = kind.build(kind.Options(**options), BuildContext(meaning(labels), TEXTS, None, LIMIT, 0))
        source.tokenizer.model_max_length = LIMIT
        with torch.no_grad():  # scores far apart, so that equal answers say something; padding has a row like any other
            for weight in source.model.parameters():
                if weight.ndim > 1:
                    weight.normal_(std=0.4)
        source.save(folder / name)
    return folder


@pytest.fixture(scope="module")
def exported(models: Path, registry: Registry, bare: object) -> Path:
    """The ONNX folder of each kind."""
    for name, (_, _, space) in KINDS.items():
        told = export(str(models / name), "onnx", registry, models / "cache", output=str(models / "onnx" / name),
                      data=str(models / "data" / space))
        assert told.parity.exact, name
        assert {path.name for path in told.folder.iterdir()} == FILES
    return models / "onnx"


@pytest.mark.parametrize("name", KINDS)
def test_scores_are_those_of_the_original_on_nasty_texts_and_pairs(exported: Path, models: Path, registry: Registry,
                                                                   name: str):
    before, after = (load_model(str(folder / name), registry, models / "cache") for folder in (models, exported))
    for texts, pairs in ((NASTY * 5, None), (NASTY, OTHERS), (NASTY[-1:], None), ([], None)):
        expected = before.answer(texts, pairs)
        torch.testing.assert_close(after.answer(texts, pairs), expected, atol=2e-4, rtol=1e-4)
    assert before.answer(NASTY).std(dim=0).min() > 0.01


def test_a_graph_tells_nothing_of_this_machine_and_has_an_lstm_of_its_own(exported: Path):
    for name in KINDS:
        written = (exported / name / "model.onnx").read_bytes()
        assert str(ROOT).encode() not in written
        assert b"site-packages" not in written
    graph = onnx.load(exported / "bilstm" / "model.onnx").graph
    assert [node.op_type for node in graph.node].count("LSTM") == 1
    assert [[axis.dim_param for axis in value.type.tensor_type.shape.dim] for value in graph.input] == [
        ["rows", "length"]] * 2


@pytest.mark.parametrize("name", KINDS)
def test_the_tokenizer_file_alone_gives_the_ids_of_the_source(exported: Path, models: Path, registry: Registry,
                                                              name: str):
    source = load_model(str(models / name), registry, models / "cache").source
    alone = Tokenizer.from_file(str(exported / name / "tokenizer.json"))
    for pairs in (None, OTHERS):
        ids = source.tokenize(NASTY, pairs, max_length=LIMIT)["input_ids"]
        rows = alone.encode_batch(NASTY if pairs is None else list(zip(NASTY, OTHERS, strict=True)))
        assert [[index for index, counts in zip(row.ids, row.attention_mask, strict=True) if counts]
                for row in rows] == ids
        assert len({len(row.ids) for row in rows}) == 1
        assert max(map(len, ids)) == LIMIT


@pytest.mark.parametrize("name", KINDS)
def test_int8_answers_like_the_original(exported: Path, models: Path, registry: Registry, name: str):
    folder = models / "int8" / name
    shutil.copytree(exported / name, folder)
    make_int8(folder)
    before, after = (load_model(str(place), registry, models / "cache") for place in (exported / name, folder))
    full, small = before.answer(NASTY), after.answer(NASTY)
    assert 0 < (full - small).abs().max() < 0.2 * max(1.0, full.abs().max())
    assert after.bytes < before.bytes
    assert json.loads((folder / "ukd.json").read_text())["precision"] == "int8"
    assert {path.name for path in folder.iterdir()} == FILES


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[bytes]]:
    """An environment with onnxruntime, tokenizers and numpy alone; made while other tests run."""
    folder = tmp_path_factory.mktemp("bare")
    install = (f"'{sys.executable}' -m venv . && bin/python -m pip install --disable-pip-version-check --quiet "
               f"--only-binary=:all: --constraint '{ROOT / 'constraints.txt'}' onnxruntime tokenizers numpy")
    with subprocess.Popen(["sh", "-c", install], cwd=folder, stderr=subprocess.PIPE) as making:
        making.folder = folder  # type: ignore[attr-defined]
        yield making
        making.kill()


def test_folders_run_without_torch_and_without_ukd(bare: subprocess.Popen[bytes], exported: Path, models: Path,
                                                   ukd: Command, monkeypatch: pytest.MonkeyPatch):
    _, complaint = bare.communicate()
    assert bare.returncode == 0, complaint.decode()
    python, folder = bare.folder / "bin" / "python", bare.folder
    missing = "import importlib.util as u; print([u.find_spec(name) for name in ('torch', 'transformers', 'ukd_core')])"
    alone = {"PATH": "", "HOME": str(folder)}
    seen = subprocess.run([python, "-c", missing], capture_output=True, cwd=folder, env=alone)
    assert seen.stdout == b"[None, None, None]\n"
    lines = [text.replace("\x00", "") for text in NASTY] + ["rain\tbread and market", "rain\t", "\tharbour"]
    given = "".join(f"{line}\n" for line in lines)
    for name in KINDS:
        done = subprocess.run([python, exported / name / "predict.py"], input=given.encode(), capture_output=True,
                              cwd=folder, env=alone)
        assert done.returncode == 0, done.stderr.decode()
        found = [json.loads(line) for line in done.stdout.decode().splitlines()]
        monkeypatch.setattr(sys, "stdin", io.StringIO(given))
        status, out, _ = ukd("predict", models / name)
        assert status == 0
        assert len(found) == len(lines)
        assert_same(found, [json.loads(line) for line in out.splitlines()])


def assert_same(found: list[dict[str, object]], expected: list[dict[str, object]]) -> None:
    """The same answers in the same words; numbers as near as float32 allows."""
    for one, other in zip(found, expected, strict=True):
        assert list(one) == list(other)
        for key, value in one.items():
            if key == "scores":
                assert list(value) == list(other[key])
                np.testing.assert_allclose(list(value.values()), list(other[key].values()), atol=2e-4)
            elif isinstance(value, float):
                assert value == pytest.approx(other[key], abs=2e-3)
            else:
                assert value == other[key]


def test_commands_take_exported_folders(ukd: Command, exported: Path, models: Path, tmp_path: Path):
    (tmp_path / "texts.jsonl").write_text('{"text": "rain"}\n{"sentence1": "a choir", "sentence2": "bread"}\n')
    answers = [ukd("predict", folder / "bert", tmp_path / "texts.jsonl") for folder in (models, exported)]
    assert [status for status, _, _ in answers] == [0, 0]
    assert_same(*([json.loads(line) for line in out.splitlines()] for _, out, _ in answers))
    data = models / "data" / "classes"
    scores = [json.loads(ukd("eval", folder / "bert", "--data", data)[1]) for folder in (models, exported)]
    assert scores[0] == {**scores[1], "model": str(models / "bert")}
    status, out, _ = ukd("bench", exported / "bert", exported / "bag", "--teacher", models / "bert", "--data", data,
                         "--seconds", "0.01")
    assert status == 0
    assert "1 thread of the processor" in out
    assert out.count("1.0×") >= 1
    assert len([line for line in out.splitlines() if "bert" in line or "bag" in line]) >= 3
