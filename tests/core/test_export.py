"""Exports: what is refused, how answers are compared, cards, and reading texts as they arrive."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizer
from ukd_plugins.output_spaces.classes import ClassesSpace
from ukd_plugins.output_spaces.multilabel import MultilabelSpace
from ukd_plugins.output_spaces.regression import RegressionSpace

from ukd_core import BuildContext
from ukd_core.commands.options import lines_of
from ukd_core.errors import InputError, ParityError
from ukd_core.layer_source import LayerSource
from ukd_core.plugins import Registry
from ukd_core.run.answer import StoredModel
from ukd_core.run.bench import in_turns
from ukd_core.run.export.parity import Rows, compare_answers, refuse_unequal
from ukd_core.run.export.runtime import load_exported
from ukd_core.run.export.tokenizer import Reader, standalone_tokenizer
from ukd_core.run.files import files_bytes

Command = Callable[..., tuple[int, str, str]]
TEXTS = ["oil prices rose", "wheat harvest", "oil", "a good harvest"]
SPACE = ClassesSpace(["crude", "grain"])


def built(registry: Registry, adapter: str = "cnn") -> LayerSource:
    torch.manual_seed(0)
    kind = registry.layer_sources.lookup(adapter)
    return kind.build(kind.Options(layers=1, hidden=8), BuildContext(SPACE, TEXTS, None, 16, 0))


@pytest.fixture(scope="module")
def model(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    built(registry).save(folder)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "data.jsonl"
    file.write_text("".join(json.dumps({"text": text, "label": label}) + "\n"
                            for text, label in zip(TEXTS, ["crude", "grain"] * 2, strict=True)))
    return file


def refusal(answer: tuple[int, str, str], status: int = 2) -> str:
    assert answer[:2] == (status, "")
    assert len(answer[2].splitlines()) == 1
    return answer[2].removesuffix("\n").removeprefix("ukd: ")


def test_a_form_that_there_is_not(ukd: Command, model: Path):
    assert refusal(ukd("export", model, "--format", "tflite")) == (
        "option 'format': expected hf, onnx, onnx-int8, got 'tflite'.")


def test_an_export_without_its_packages_says_how_to_install_them(ukd: Command, model: Path, data: Path, tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert refusal(ukd("export", model, "--format", "onnx", "--output", tmp_path / "out", "--data", data)) == (
        "ONNX: expected the package onnxscript to be installed, got no such package. "
        "Install it with: pip install 'ukd[onnx]'.")


def test_a_model_that_no_run_made_needs_a_folder_and_rows(ukd: Command, model: Path, tmp_path: Path):
    assert refusal(ukd("export", model, "--format", "hf")) == (
        f"model '{model}': expected a folder to write, got none: it is no run. Name one with --output.")
    assert refusal(ukd("export", model, "--format", "hf", "--output", tmp_path / "out", "--cache", tmp_path)) == (
        f"model '{model}': expected rows to compare the answers on, got none: it is no run. Name some with --data.")
    assert not (tmp_path / "out").exists()


def test_what_an_export_may_not_write_over(ukd: Command, model: Path, data: Path, tmp_path: Path):
    def tried(*more: object) -> str:
        return refusal(ukd("export", model, "--format", "hf", "--data", data, "--output", tmp_path / "out", *more))
    (tmp_path / "out").write_text("x")
    assert tried() == f"output '{tmp_path / 'out'}': expected a folder, got a file."
    (tmp_path / "out").unlink()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter").write_text("x")
    assert tried() == (f"output '{tmp_path / 'out'}': the folder is not empty. "
                       "Add --overwrite to replace an export, or name another.")
    assert tried("--overwrite") == (f"output '{tmp_path / 'out'}': the folder holds files that are not an export. "
                                    "Choose another folder.")
    assert (tmp_path / "out" / "letter").read_text() == "x"


def test_an_export_in_transformers_form_can_be_replaced(ukd: Command, model: Path, data: Path, tmp_path: Path):
    told = ["export", model, "--format", "hf", "--data", data, "--output", tmp_path / "out", "--cache", tmp_path]
    status, out, err = ukd(*told)
    assert (status, err) == (0, "")
    assert out.startswith(f"exported as hf: {tmp_path / 'out'}, 0.0 MB\ncompared with the original on 4 rows (train): "
                          "largest difference of scores 0, all answers equal, accuracy ")
    (tmp_path / "out" / "old").write_text("x")
    assert ukd(*told, "--overwrite")[0] == 0
    assert not (tmp_path / "out" / "old").exists()
    assert "import ukd_adapters" in (tmp_path / "out" / "README.md").read_text()
    assert ukd("predict", tmp_path / "out", data)[1] == ukd("predict", model, data)[1]


def test_exported_folders_that_cannot_be_read(ukd: Command, model: Path, tmp_path: Path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "ukd.json").write_text('{"format": 7}')
    assert refusal(ukd("predict", folder, "/dev/null")) == (
        f"model '{folder}': expected an exported folder of format 1, got format 7 of a newer "
        "version. Update UKD; or: Export it again with ukd export.")
    (folder / "ukd.json").write_text('{"format": 1, "problem_type": "poetry"}')
    assert refusal(ukd("predict", folder, "/dev/null")) == (
        f"model '{folder}': no output space for problem_type 'poetry'.")
    (folder / "ukd.json").write_text("{")
    assert refusal(ukd("predict", folder, "/dev/null")).startswith(
        f"model '{folder}': expected JSON in ukd.json, got: Expecting property name")
    assert refusal(ukd("export", folder, "--format", "onnx")) == (
        f"model '{folder}': expected a run or a model folder, got an exported one. Export the run itself.")


def test_a_damaged_graph_is_named(registry: Registry, tmp_path: Path):
    (tmp_path / "ukd.json").write_text(json.dumps({
        "format": 1, "problem_type": "regression", "labels": ["score"], "inputs": ["input_ids"], "parameters": 1}))
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(InputError, match=f"model '{tmp_path}': expected a readable exported folder, got "):
        load_exported(tmp_path, registry)


class Slow(PreTrainedTokenizer):
    """A tokenizer in Python."""

    vocab_size = 1

    def get_vocab(self) -> dict[str, int]:
        return {"a": 0}


def test_a_tokenizer_in_python_cannot_be_exported(registry: Registry):
    source = built(registry)
    source.tokenizer = Slow()
    with pytest.raises(InputError) as caught:
        standalone_tokenizer(source, 16)
    assert str(caught.value) == ("tokenizer of adapter 'cnn': expected a fast one, got Slow. "
                                 "Save the model with a tokenizer.json.")


class Given(StoredModel):
    """A model that always answers the same."""

    def __init__(self, scores: Tensor, space: ClassesSpace | MultilabelSpace | RegressionSpace) -> None:
        super().__init__("given", space, 0, 0)
        self.scores = scores

    def answer(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Tensor:
        return self.scores


def rows(count: int, labels: Tensor | None = None) -> Rows:
    return Rows(["a"] * count, None, labels, "made up")


def test_parity_counts_answers_and_scores():
    before = torch.tensor([[4.0, 1.0], [0.0, 1.0], [2.0, 3.0]])
    after = before + torch.tensor([[0.0, 0.5], [2.0, 0.0], [0.0, 0.0]])
    found = compare_answers(before, Given(after, SPACE), rows(3, torch.tensor([0, 1, -100])))
    assert (found.difference, found.scale, found.before, found.after) == (2.0, 4.0, 1.0, 0.5)
    assert found.agreement == pytest.approx(2 / 3)
    assert str(found) == ("3 rows (made up): largest difference of scores 2, 66.67% of the answers equal, "
                          "accuracy 1.0000 before, 0.5000 after")
    with pytest.raises(ParityError) as caught:
        refuse_unequal("model 'x'", found)
    assert str(caught.value) == (f"model 'x': expected the answers of the original, got others on {found}. "
                                 "Nothing was written; please report this model.")
    assert caught.value.exit_status == 1


def test_parity_of_several_labels_is_that_of_rows_and_of_numbers_is_their_difference():
    before = torch.tensor([[1.0, -1.0], [1.0, 1.0]])
    several = compare_answers(before, Given(before * torch.tensor([1.0, -1.0]), MultilabelSpace(["a", "b"])), rows(2))
    assert (several.agreement, several.before) == (0.0, None)
    numbers = compare_answers(before[:, :1], Given(before[:, :1] + 5e-5, RegressionSpace(["score"])), rows(2))
    assert numbers.agreement is None
    assert numbers.exact


@pytest.mark.parametrize(("change", "exact"), [(0.9e-4, True), (1.2e-4, False), (float("nan"), False)])
def test_scores_may_differ_by_rounding_relative_to_their_size(change: float, exact: bool):
    before = torch.tensor([[10.0, -10.0]])
    assert compare_answers(before, Given(before + 10 * change, SPACE), rows(1)).exact is exact


def test_the_reader_cuts_and_pads_as_the_tokenizer_file_does(registry: Registry):
    tokenizer = standalone_tokenizer(built(registry), 6)
    texts, pairs = ["oil " * 9, "", "wheat"], ["rose", "harvest " * 20, "good " * 3]
    reader = Reader(Tokenizer.from_str(tokenizer.to_str()), ["input_ids", "attention_mask"])
    for second in (None, pairs):
        found = reader.read(texts, second)
        expected = tokenizer.encode_batch(texts if second is None else list(zip(texts, second, strict=True)))
        assert found["input_ids"].tolist() == [row.ids for row in expected]
        assert found["attention_mask"].tolist() == [row.attention_mask for row in expected]
        assert max(map(len, found["input_ids"])) == 6


def test_a_pair_of_long_texts_takes_no_more_memory_than_it_has_tokens():
    tokenizer = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding()
    found = Reader(tokenizer, ["input_ids"]).read(["a " * 20_000], ["a " * 20_000])  # 10,000² pieces, otherwise
    assert found["input_ids"].tolist() == [[0] * 4]


def test_lines_are_read_when_they_arrive(monkeypatch: pytest.MonkeyPatch):
    end, begin = os.pipe()
    with open(end, encoding="ascii") as stream, open(begin, "wb", buffering=0) as writer:
        monkeypatch.setattr(sys, "stdin", stream)
        lines = lines_of("-")
        writer.write("\ufeffone\r\ntwo\nca".encode())
        assert next(lines) == ["one", "two"]
        writer.write(b"f\xc3")
        writer.write(b"\xa9\n\nlast")
        writer.close()
        assert [line for part in lines for line in part] == ["café", "", "last"]


def test_a_line_with_a_tab_is_a_pair_whatever_the_others_are(ukd: Command, model: Path,
                                                             monkeypatch: pytest.MonkeyPatch):
    answers = []
    for text in ("oil\trose\nwheat\n", "wheat\n", "oil\trose\n"):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        answers.append(ukd("predict", model)[1])
    found, *alone = ([json.loads(line) for line in out.splitlines()] for out in answers)
    for one, other in zip(found, (alone[1][0], alone[0][0]), strict=True):
        assert one["text"] == other["text"]
        assert one["score"] == pytest.approx(other["score"], abs=1e-6)


def test_objects_without_a_text(ukd: Command, model: Path, tmp_path: Path):
    (tmp_path / "texts.jsonl").write_text('{"text": "oil"}\n{"label": 3}\n')
    assert refusal(ukd("predict", model, tmp_path / "texts.jsonl")) == (
        f"file '{tmp_path / 'texts.jsonl'}': line 2: expected a JSON object with a text, got '{{\"label\": 3}}'. "
        "Write one object a line with the key text, or two such as text1 and text2.")


def test_copies_of_the_weights_do_not_count(tmp_path: Path):
    for name in ("model.safetensors", "config.json", "pytorch_model.bin"):
        (tmp_path / name).write_text(name)
    assert files_bytes(tmp_path) == len("model.safetensors") + len("config.json")


def test_models_are_timed_in_turns():
    asked: list[str] = []

    class Noted(Given):
        def answer(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Tensor:
            asked.append(self.name)
            return self.scores
    models_ = [Noted(torch.zeros(1, 2), SPACE) for _ in range(2)]
    models_[1].name = "other"
    speeds = in_turns(models_, TEXTS, None, 2, 0.0)
    turns = [name for index, name in enumerate(asked) if index == 0 or name != asked[index - 1]]
    assert turns == ["given", "other", "given", "other"]
    assert all(speed.per_second > 0 and speed.p50_ms <= speed.p95_ms for speed in speeds)
