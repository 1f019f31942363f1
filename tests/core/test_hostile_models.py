"""Model folders from strangers: their code never runs, damage is one line, and nothing beside the cache is written.

Each folder would leave a mark if its code ran.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig
from ukd_plugins.output_spaces.classes import ClassesSpace

from ukd_adapters import BertLayerSource
from ukd_adapters.word_vectors import read_vectors
from ukd_core import BuildContext
from ukd_core.errors import InputError, UKDError
from ukd_core.plugins import Registry
from ukd_core.run.sources import plan_source

Command = Callable[..., tuple[int, str, str]]
EVIL = "import pathlib\npathlib.Path({mark!r}).touch()\n"
CLASSES = ("Config", "Model", "Tokenizer")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    options = BertLayerSource.Options(layers=1, hidden=8, intermediate=8, vocab_size=300)
    context = BuildContext(ClassesSpace(["no", "yes"]), ["a text of a few words"], None, 16, 0)
    BertLayerSource.build(options, context).save(folder)
    return folder


@pytest.fixture
def model(good: Path, tmp_path: Path) -> Path:
    return shutil.copytree(good, tmp_path / "model")


class Mark:
    """Leaves a mark when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def files_of(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.lstat().st_mtime_ns for path in folder.rglob("*")}


def refused(registry: Registry, model: Path, *texts: str) -> None:
    """To read the model ends in an error of one line with these texts, and leaves everything around it as it was."""
    before = files_of(model.parent)
    with pytest.raises(UKDError) as caught:
        plan_source(str(model), registry, model.parent / "cache", "teacher").load()
    told = str(caught.value)
    assert "\n" not in told
    for text in texts:
        assert text in told
    assert files_of(model.parent) == before


def answers(ukd: Command, model: Path) -> None:
    (model.parent / "texts.txt").write_text("a text\n")
    status, out, err = ukd("predict", model, model.parent / "texts.txt", "--cache", model.parent / "cache")
    assert status == 0, err
    assert json.loads(out)["label"] in ("no", "yes")


# --- Code -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_weights_run_nothing(registry: Registry, model: Path, tmp_path: Path, zipped: bool):
    (model / "model.safetensors").unlink()
    weights = {"bert.embeddings.word_embeddings.weight": Mark(tmp_path / "mark")}
    torch.save(weights, model / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    refused(registry, model, "the weights could not be read: ")
    assert not (tmp_path / "mark").exists()
    torch.load(model / "pytorch_model.bin", weights_only=False)  # the trap is real
    assert (tmp_path / "mark").exists()


def test_plain_weights_in_a_pickle_are_read(ukd: Command, model: Path):
    from safetensors.torch import load_file
    torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
    (model / "model.safetensors").unlink()
    answers(ukd, model)


def test_remote_code_is_neither_run_nor_handed_on(ukd: Command, model: Path, tmp_path: Path, registry: Registry):
    (model / "evil.py").write_text(EVIL.format(mark=str(tmp_path / "mark")) + "\n".join(
        f"class {name}: pass" for name in CLASSES))
    change(model / "config.json", auto_map={"AutoConfig": "evil.Config", "AutoModel": "evil.Model",
                                            "AutoModelForSequenceClassification": "evil.Model"})
    change(model / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", None]},
           tokenizer_class="Tokenizer")
    answers(ukd, model)
    plan_source(str(model), registry, tmp_path, "teacher").load().save(tmp_path / "saved")
    assert not (tmp_path / "mark").exists()
    for name in ("config.json", "tokenizer_config.json"):
        assert "evil" not in (tmp_path / "saved" / name).read_text()
    with pytest.raises(AttributeError):  # the trap is real: its class is no configuration
        AutoConfig.from_pretrained(model, trust_remote_code=True)
    assert (tmp_path / "mark").exists()


def test_an_unknown_architecture_with_code_of_its_own(registry: Registry, model: Path, tmp_path: Path):
    (model / "evil.py").write_text(EVIL.format(mark=str(tmp_path / "mark")) + "class Config: pass")
    change(model / "config.json", model_type="evil", auto_map={"AutoConfig": "evil.Config"})
    refused(registry, model, "model type 'evil': no adapter reads it. Available: bert")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation"])
def test_attention_of_a_hub_repository(registry: Registry, model: Path, key: str):
    change(model / "config.json", **{key: "evil/attention"})
    if AutoConfig.from_pretrained(model)._attn_implementation is None:
        pytest.skip("this version of transformers does not read the key")
    refused(registry, model, "expected attention of transformers, got 'evil/attention', code of a hub repository. "
                             "Remove attn_implementation from config.json.")


def test_word_vectors_with_a_pickle_inside(tmp_path: Path):
    torch.save((["a"], {"a": 0}, Mark(tmp_path / "mark"), 1), tmp_path / "vectors.pt")
    np.save(tmp_path / "vectors.npy", np.array([Mark(tmp_path / "mark")]), allow_pickle=True)
    (tmp_path / "vectors.txt").write_bytes(pickle.dumps(Mark(tmp_path / "mark")))
    for name in ("vectors.pt", "vectors.npy", "vectors.txt"):
        with pytest.raises(InputError):
            read_vectors(str(tmp_path / name), ["a"])
    assert not (tmp_path / "mark").exists()


def test_the_command_line_tells_it_in_one_line(ukd: Command, model: Path, tmp_path: Path):
    (model / "model.safetensors").unlink()
    torch.save({"a": Mark(tmp_path / "mark")}, model / "pytorch_model.bin")
    (tmp_path / "texts.txt").write_text("a text\n")
    data = tmp_path / "d.csv"
    data.write_text("text,label\n" + "a text,no\nanother,yes\n" * 5)
    texts, out_of = tmp_path / "texts.txt", ("--output", tmp_path / "out")
    for command in (("predict", model, texts), ("eval", model, "--data", data),
                    ("distill", "--teacher", model, "--student", "cnn", "--data", data, *out_of),
                    ("export", model, "--format", "hf", "--data", data, *out_of)):
        status, out, err = ukd(*command, "--cache", tmp_path / "cache")
        assert (status, out) == (2, "") and "the weights could not be read: " in err
        assert all(line.startswith("ukd: ") for line in err.splitlines())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "d.csv", "model", "texts.txt"]


# --- Files that are not what they seem --------------------------------------------------------------------------------

def header(values: dict[str, Any], body: bytes = b"") -> bytes:
    text = json.dumps(values).encode()
    return struct.pack("<Q", len(text)) + text + body


def tensor(shape: list[int], start: int, end: int) -> dict[str, Any]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize("content", [
    header({"a": tensor([2**40, 2**20], 0, 8)}, bytes(8)), header({"a": tensor([2**30, 2**30], 0, 8)}, bytes(8)),
    header({"a": tensor([2], 0, 8), "b": tensor([2], 4, 12)}, bytes(12)), header({"a": tensor([-1], 0, 8)}, bytes(8)),
    header({"a": tensor([2], 8, 16)}, bytes(16)), struct.pack("<Q", 10 * 2**30) + b"{}", b"", b"{}",
    struct.pack("<Q", 2**64 - 1), header({"a": tensor([2], 0, 8)}), b"\x80\x04cos\nsystem\n(S'true'\ntR.",
], ids=["huge", "overflow", "overlap", "negative", "gap", "header 10 GB", "empty", "two bytes", "header 2^64",
        "cut", "pickle"])
def test_weights_with_a_false_header(registry: Registry, model: Path, content: bytes):
    (model / "model.safetensors").write_bytes(content)
    refused(registry, model, "the weights could not be read: ", "Save the model again with save_pretrained.")


@pytest.mark.parametrize(("key", "value"), [
    ("vocab_size", 10**9), ("num_hidden_layers", 10**9), ("intermediate_size", 10**9),
    ("max_position_embeddings", 10**9)])
def test_sizes_that_the_weights_cannot_have(registry: Registry, model: Path, key: str, value: int):
    change(model / "config.json", **{key: value})
    size = (model / "model.safetensors").stat().st_size
    refused(registry, model, f"expected sizes of config.json that fit {size:,} bytes of weights, got {key} {value:,}.")


@pytest.mark.parametrize(("name", "content", "text"), [
    ("tokenizer.json", b"\x00\xff nonsense", "the tokenizer could not be read: "),
    ("tokenizer.json", b"[" * 200_000, "the tokenizer could not be read: "),
    ("tokenizer.json", b"[]", "the tokenizer could not be read: "),
    ("config.json", b"[" * 200_000, "expected JSON in config.json, got values nested too deeply."),
    ("config.json", b"[]", "expected an object in config.json, got list."),
    ("tokenizer_config.json", b"[" * 200_000, "could not be read: "),
])
def test_nonsense(registry: Registry, model: Path, name: str, content: bytes, text: str):
    (model / name).write_bytes(content)
    refused(registry, model, text)


@pytest.mark.parametrize(("name", "key", "value"), [
    ("tokenizer.json", "model", {"type": "WordPiece", "unk_token": "[NONE]", "continuing_subword_prefix": "##",
                                 "max_input_chars_per_word": 100, "vocab": {"a": 0}}),
    ("config.json", "hidden_size", -8), ("config.json", "hidden_size", "x"), ("config.json", "num_attention_heads", 0),
    ("config.json", "id2label", {"x": "a"}), ("config.json", "id2label", ["a"]),
    ("config.json", "transformers_weights", "../../x.safetensors"), ("config.json", "model_type", "../../x"),
])
def test_values_that_fit_nothing(registry: Registry, model: Path, name: str, key: str, value: object):
    change(model / name, **{key: value})
    refused(registry, model)


def test_an_architecture_that_is_no_text_makes_no_classifier(registry: Registry, model: Path, tmp_path: Path):
    change(model / "config.json", architectures=[5])
    assert plan_source(str(model), registry, tmp_path, "teacher").load().label_names is None


@pytest.mark.parametrize("content", ["[1]", "[" * 200_000, "3"])
def test_a_pooling_file_that_says_nothing(ukd: Command, model: Path, content: str):
    (model / "1_Pooling").mkdir()
    (model / "1_Pooling" / "config.json").write_text(content)
    answers(ukd, model)


# --- Links and paths --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("name", "target"), [
    ("config.json", "/etc/passwd"), ("tokenizer.json", "/etc/passwd"), ("model.safetensors", "/etc/passwd"),
    ("config.json", "config.json"), ("model.safetensors", "model.safetensors"), ("tokenizer.json", "nowhere"),
    ("tokenizer.json", "/dev/zero"), ("config.json", "/dev/zero"), ("model.safetensors", "/dev/zero"),
])
def test_links_to_elsewhere(registry: Registry, model: Path, name: str, target: str):
    (model / name).unlink()
    (model / name).symlink_to(target)
    refused(registry, model)


def test_links_of_a_download_cache_are_read(ukd: Command, model: Path, tmp_path: Path):
    (tmp_path / "blobs").mkdir()
    for path in list(model.iterdir()):
        path.rename(tmp_path / "blobs" / path.name)
        path.symlink_to(tmp_path / "blobs" / path.name)
    answers(ukd, model)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "notes"])
def test_a_pipe_is_no_file(registry: Registry, model: Path, name: str):
    (model / name).unlink(missing_ok=True)
    os.mkfifo(model / name)
    refused(registry, model, f"expected files, got '{name}', which is none or leads to none. Save model and "
                             "tokenizer into it with save_pretrained.")


def test_a_pipe_in_the_place_of_a_pooling_file_says_nothing(ukd: Command, model: Path):
    (model / "1_Pooling").mkdir()
    os.mkfifo(model / "1_Pooling" / "config.json")
    answers(ukd, model)


@pytest.mark.parametrize("name", ["../../x", "/no/such/folder", "../x", "x\0y", "org/../../x", "bert:from=../../x",
                                  "embedded:../../x", "a" * 5000, "~/x/y/z", "bert\x1b[31m"])
def test_names_that_are_paths(registry: Registry, tmp_path: Path, name: str):
    with pytest.raises((InputError, LookupError, OSError)) as caught:
        plan_source(name, registry, tmp_path, "teacher").load()
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
