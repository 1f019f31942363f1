"""Reading saved models: what is kept, what is new, and what a wrong folder answers."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertModel
from transformers.utils import logging
from ukd_plugins.output_spaces.classes import ClassesSpace

from ukd_adapters import BertLayerSource, DistilBertLayerSource, RobertaLayerSource
from ukd_core import BuildContext
from ukd_core.errors import InputError

TEXTS = [
    "The harbour froze early, and the ferries stayed at home.",
    "Our choir sings better when the baker brings bread!",
    "Rain fell on the market; nobody bought a single apple.",
]
SPACE = ClassesSpace(["harbour", "choir", "market"])


def make(adapter):
    options = adapter.Options(layers=3, hidden=16, intermediate=24, vocab_size=400)
    return adapter.build(options, BuildContext(SPACE, TEXTS, None, 64, 0))


def run(source, texts):
    source.eval()
    with torch.inference_mode():
        return source(source.pad(source.tokenize(texts, max_length=64)))


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    make(BertLayerSource).save(folder)
    return folder


@pytest.fixture
def broken(bert_folder, tmp_path):
    return shutil.copytree(bert_folder, tmp_path / "model")


def test_load_with_a_space_puts_a_new_classifier_on_the_same_encoder(bert_folder):
    stored = BertLayerSource.load(bert_folder, BertLayerSource.Options())
    for labels in (["low", "high"], list("abc")):
        torch.manual_seed(3)
        fresh = BertLayerSource.load(bert_folder, BertLayerSource.Options(), ClassesSpace(labels))
        assert fresh.label_names is None
        assert fresh.model.config.id2label == dict(enumerate(labels))
        assert fresh.model.classifier.weight.shape == (len(labels), 16)
        assert not torch.equal(fresh.model.classifier.weight[:2], stored.model.classifier.weight[:2])
        assert fresh.model.classifier.weight.std() < 0.05
        ours, theirs = fresh.model.bert.state_dict(), stored.model.bert.state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("adapter", [BertLayerSource, DistilBertLayerSource])
@pytest.mark.parametrize("hidden", [8, 16])
def test_a_saved_model_answers_to_the_last_bit(adapter, hidden, tmp_path):
    """Also to one text, whose products are computed in an order that goes by where in memory the weights begin."""
    built = adapter.build(adapter.Options(layers=2, hidden=hidden, heads=2, intermediate=16, vocab_size=300),
                          BuildContext(SPACE, TEXTS, None, 64, 0))
    built.save(tmp_path)
    again = adapter.load(tmp_path, adapter.Options())
    for text in (*TEXTS, *" ".join(TEXTS).split()):
        one, other = run(built, [text]), run(again, [text])
        assert all(torch.equal(*pair) for pair in zip((one.logits, *one.pooled), (other.logits, *other.pooled),
                                                      strict=True)), text


def test_load_keeps_lower_layers_only(bert_folder):
    whole = BertLayerSource.load(bert_folder, BertLayerSource.Options())
    cut = BertLayerSource.load(bert_folder, BertLayerSource.Options(layers=2))
    assert cut.num_layers == 2 and cut.label_names is None
    assert torch.equal(run(cut, TEXTS).pooled[1], run(whole, TEXTS).pooled[1])


def test_load_reads_an_encoder_without_a_classifier_in_half_precision_as_float32(bert_folder, broken):
    BertModel.from_pretrained(bert_folder).half().save_pretrained(broken)
    source = BertLayerSource.load(broken, BertLayerSource.Options())
    assert source.label_names is None
    assert {weight.dtype for weight in source.model.parameters()} == {torch.float32}


@pytest.mark.parametrize(("stored", "expected"), [
    ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
    ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
    ({"pooling_mode": "mean"}, "mean"),
    ({"pooling_mode_max_tokens": True}, "cls"),
])
def test_pooling_follows_sentence_transformers(broken, stored, expected):
    (broken / "1_Pooling").mkdir()
    (broken / "1_Pooling" / "config.json").write_text(json.dumps(stored))
    assert BertLayerSource.load(broken, BertLayerSource.Options()).pooling == expected
    assert BertLayerSource.load(broken, BertLayerSource.Options(pooling="mean")).pooling == "mean"


@pytest.fixture
def talkative(monkeypatch):
    monkeypatch.setattr(sys.modules["huggingface_hub.utils.tqdm"], "HF_HUB_DISABLE_PROGRESS_BARS", None)
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.enable_progress_bar()
    logging.set_verbosity_info()
    yield
    logging.set_verbosity(level)
    if not bars:
        logging.disable_progress_bar()


def test_loading_and_saving_say_nothing_and_restore_the_settings(bert_folder, tmp_path, talkative, capfd):
    source = BertLayerSource.load(bert_folder, BertLayerSource.Options(), ClassesSpace(["low", "high"]))
    source.save(tmp_path)
    assert capfd.readouterr() == ("", "")
    assert logging.get_verbosity() == logging.INFO and logging.is_progress_bar_enabled()


def refused(location, text, adapter=BertLayerSource, **options):
    with pytest.raises(InputError) as caught:
        adapter.load(location, adapter.Options(**options))
    assert str(caught.value) == f"model '{location}': {text}"


def test_no_such_folder_and_no_hub_name():
    refused("no-such-folder", "expected a model folder or a hub name org/name, got no such folder. Check the path.")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "model.bin").write_text("")
    refused(tmp_path / "model.bin", "expected a model folder or a hub name org/name, got a file. Check the path.")


def test_hub_name_without_a_network_is_one_line():
    with pytest.raises(InputError) as caught:
        BertLayerSource.load("some-org/some-model", BertLayerSource.Options())
    text = str(caught.value)
    assert text.startswith("model 'some-org/some-model': config.json could not be read: ")
    assert text.endswith("Check the name and the network, or give a folder.") and "\n" not in text


@pytest.mark.parametrize(("pattern", "what"), [
    ("config.json", "config.json"), ("model.safetensors", "weights (model.safetensors)"),
    ("tokenizer.json", "a tokenizer (tokenizer.json)"),
])
def test_folder_without_one_of_its_parts(broken, pattern, what):
    (broken / pattern).unlink()
    refused(broken, f"expected a folder with {what}, got one without. "
                    "Save model and tokenizer into it with save_pretrained.")


def test_folder_of_another_architecture(tmp_path):
    make(RobertaLayerSource).save(tmp_path)
    refused(tmp_path, "expected a model of type bert, got 'roberta'. Use the adapter for that type.")


def test_more_layers_than_there_are(bert_folder):
    refused(bert_folder, "expected layers ≤ 3, got 7. Only lower layers of an existing model can be kept.", layers=7)


def test_options_of_new_models_are_refused_on_load(bert_folder):
    refused(bert_folder, "option 'hidden' is for new models only. Leave it out.", hidden=16)


def test_damaged_weights(broken):
    (broken / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(InputError, match=r"the weights could not be read: .*Save the model again with save_pretrained"):
        BertLayerSource.load(broken, BertLayerSource.Options())


def test_incomplete_weights(broken):
    weights = load_file(broken / "model.safetensors")
    del weights["bert.embeddings.word_embeddings.weight"], weights["bert.encoder.layer.1.output.dense.bias"]
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    refused(broken, "the weights are incomplete: bert.embeddings.word_embeddings.weight and 1 more. "
                    "Save the model again with save_pretrained.")


def test_weights_of_another_shape(broken):
    weights = load_file(broken / "model.safetensors")
    weights["bert.encoder.layer.0.output.dense.bias"] = torch.zeros(5)
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    refused(broken, "the weights do not fit config.json: bert.encoder.layer.0.output.dense.bias. "
                    "Save the model again with save_pretrained.")


def test_damaged_tokenizer(broken):
    (broken / "tokenizer.json").write_text('{"version": 1')
    with pytest.raises(InputError, match=r"the tokenizer could not be read: .*Save the tokenizer again"):
        BertLayerSource.load(broken, BertLayerSource.Options())


def test_tokenizer_of_another_model(broken):
    rows = len(BertLayerSource.load(broken, BertLayerSource.Options()).tokenizer)
    other = make(RobertaLayerSource).tokenizer
    other.save_pretrained(broken)
    refused(broken, f"expected a tokenizer of at most {rows} tokens (the embedding table), got {len(other)}. "
                    "Save the tokenizer that belongs to the model.")


def test_tokenizer_without_a_vocabulary(broken):
    type(BertLayerSource.load(broken, BertLayerSource.Options()).tokenizer)().save_pretrained(broken)
    refused(broken, "expected a tokenizer with a vocabulary, got only special tokens. "
                    "Save the tokenizer that belongs to the model.")


def test_custom_code_is_never_run(broken):
    config = json.loads((broken / "config.json").read_text())
    config |= {"model_type": "stranger", "auto_map": {"AutoConfig": "code.Config"}}
    (broken / "config.json").write_text(json.dumps(config))
    (broken / "code.py").write_text("raise SystemExit('ran')")
    with pytest.raises(InputError, match=r"config\.json could not be read"):
        BertLayerSource.load(broken, BertLayerSource.Options())


def test_torch_weights_are_read_too(broken):
    weights = load_file(broken / "model.safetensors")
    (broken / "model.safetensors").unlink()
    torch.save(weights, broken / "pytorch_model.bin")
    loaded = BertLayerSource.load(broken, BertLayerSource.Options())
    assert torch.equal(loaded.model.classifier.weight, weights["classifier.weight"])


