"""BiLSTM and CNN: layers against torch's own, padding, saving, and building from a teacher."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import AutoTokenizer, pipeline
from transformers.utils import logging
from ukd_plugins.output_spaces.classes import ClassesSpace
from ukd_plugins.output_spaces.multilabel import MultilabelSpace
from ukd_plugins.output_spaces.regression import RegressionSpace

from ukd_adapters import BiLSTMLayerSource, CNNLayerSource
from ukd_adapters.bilstm import BiLSTMLayer
from ukd_adapters.cnn import GatedBlock, SequenceConvolution
from ukd_core import BuildContext
from ukd_core.errors import InputError
from ukd_core.spec import read_options

TEXTS = [
    "The harbour froze early, and the ferries stayed at home.",
    "Our choir sings better when the baker brings bread!",
    "Rain fell on the market; nobody bought a single apple.",
    "The engineer measured the bridge twice and slept well.",
]
SPACE = ClassesSpace(["harbour", "choir", "market"])
every_adapter = pytest.mark.parametrize("adapter", [BiLSTMLayerSource, CNNLayerSource], ids=lambda kind: kind.name)


def make(adapter, teacher=None, seed=0, space=SPACE, texts=TEXTS, **options):
    options = {"hidden": 12, "embedding_width": 10, **options} if teacher is None else {"hidden": 12, **options}
    return adapter.build(adapter.Options(**options), BuildContext(space, texts, teacher, 64, seed))


def run(source, texts, needs=(), pairs=None):
    source.eval()
    with torch.inference_mode():
        return source(source.pad(source.tokenize(texts, pairs, max_length=64)), frozenset(needs))


def some_states(lengths, width):
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    return torch.randn(len(lengths), max(lengths), width), mask


def test_bilstm_layer_is_torchs_bidirectional_lstm_over_packed_sequences():
    lengths, width, hidden = [5, 1, 7, 3], 6, 4
    layer, oracle = BiLSTMLayer(width, hidden), nn.LSTM(width, hidden, batch_first=True, bidirectional=True)
    weights = {**layer.ahead.state_dict(), **{name + "_reverse": w for name, w in layer.back.state_dict().items()}}
    oracle.load_state_dict(weights)
    states, mask = some_states(lengths, width)
    packed = nn.utils.rnn.pack_padded_sequence(states, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    expected, _ = nn.utils.rnn.pad_packed_sequence(oracle(packed)[0], batch_first=True)
    torch.testing.assert_close(layer(states, mask)[mask], expected[mask], atol=1e-6, rtol=0)


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("length", [1, 2, 9])
def test_sequence_convolution_is_conv1d(kernel, length):
    convolution, oracle = SequenceConvolution(6, 4, kernel), nn.Conv1d(6, 4, kernel, padding=kernel // 2)
    with torch.no_grad():
        convolution.linear.weight.copy_(oracle.weight.permute(0, 2, 1).flatten(1))
        convolution.linear.bias.copy_(oracle.bias)
    states = torch.randn(3, length, 6)
    expected = oracle(states.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(convolution(states), expected, atol=1e-6, rtol=0)


def test_gated_block_is_conv1d_glu_residual_norm_on_masked_states():
    block, oracle = GatedBlock(6, 3), nn.Conv1d(6, 12, 3, padding=1)
    with torch.no_grad():
        block.convolution.linear.weight.copy_(oracle.weight.permute(0, 2, 1).flatten(1))
        block.convolution.linear.bias.copy_(oracle.bias)
    states, mask = some_states([4, 2], 6)
    kept = states.masked_fill(~mask.unsqueeze(-1), 0.0)
    value, gate = oracle(kept.transpose(1, 2)).transpose(1, 2).chunk(2, dim=-1)
    expected = nn.functional.layer_norm(kept + value * gate.sigmoid(), (6,))
    torch.testing.assert_close(block(states, mask), expected, atol=1e-6, rtol=0)


@every_adapter
@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_padding_changes_no_unit(adapter, pooling):
    source = make(adapter, pooling=pooling, layers=3)
    units = ["", *TEXTS, " ".join(TEXTS)]
    together = run(source, units)
    for index, text in enumerate(units):
        alone = run(source, [text])
        torch.testing.assert_close(alone.logits[0], together.logits[index], atol=1e-5, rtol=0)
        for layer, layer_alone in zip(together.pooled, alone.pooled, strict=True):
            torch.testing.assert_close(layer_alone[0], layer[index], atol=1e-5, rtol=0)


@every_adapter
def test_what_stands_in_the_padding_is_never_read(adapter):
    source = make(adapter).eval()
    batch = source.pad(source.tokenize([*TEXTS[:1], "rain"], max_length=64))
    garbage = {**batch, "input_ids": torch.where(batch["attention_mask"].bool(), batch["input_ids"], 5)}
    assert not torch.equal(batch["input_ids"], garbage["input_ids"])
    for clean, dirty in zip(source(batch).pooled, source(garbage).pooled, strict=True):
        torch.testing.assert_close(clean, dirty, atol=1e-6, rtol=0)


@every_adapter
@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_pooled_state_is_the_mean_or_maximum_over_the_words(adapter, pooling):
    states = run(make(adapter, pooling=pooling), TEXTS, {"tokens"})
    for tokens, pooled in zip(states.tokens, states.pooled, strict=True):
        rows = [row[keep].double() for row, keep in zip(tokens, states.mask, strict=True)]
        oracle = [row.mean(dim=0) if pooling == "mean" else row.amax(dim=0) for row in rows]
        torch.testing.assert_close(pooled.double(), torch.stack(oracle), atol=1e-6, rtol=0)


@every_adapter
@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_a_unit_without_any_token_is_finite_also_its_gradient(adapter, pooling):
    source = make(adapter, pooling=pooling)
    batch = source.pad(source.tokenize(TEXTS, max_length=64))
    batch["attention_mask"][1] = 0
    states = source(batch)
    assert all(pooled[1].eq(0).all() for pooled in states.pooled)
    states.logits.sum().backward()
    for weight in source.parameters():
        assert weight.grad is not None and weight.grad.isfinite().all()


@every_adapter
def test_layers_widths_and_defaults(adapter):
    source = adapter.build(adapter.Options(), BuildContext(SPACE, TEXTS, None, 64, 0))
    states = run(source, TEXTS, {"tokens"})
    assert source.num_layers == len(states.pooled) == {"bilstm": 2, "cnn": 3}[adapter.name]
    assert source.widths == tuple(pooled.shape[1] for pooled in states.pooled)
    assert source.widths[0] == {"bilstm": 256, "cnn": 128}[adapter.name]
    assert source.learning_rate == 1e-3 and source.label_names is None and source.max_positions is None
    assert run(source, TEXTS, {"attentions"}).attentions is None


def test_cnn_projects_embeddings_of_another_width_and_reads_its_kernel():
    assert isinstance(make(CNNLayerSource).model.encoder.embeddings.projection, nn.Linear)
    assert isinstance(make(CNNLayerSource, hidden=10).model.encoder.embeddings.projection, nn.Identity)
    assert make(CNNLayerSource, kernel=5).model.encoder.layers[0].convolution.kernel == 5
    with pytest.raises(InputError, match="option 'kernel' has a wrong value: Input should be an odd number, got 4"):
        read_options(CNNLayerSource.Options, {"kernel": 4}, "student 'cnn:kernel=4'")


@every_adapter
def test_weights_follow_the_seed_and_leave_the_global_generator_alone(adapter):
    before = torch.random.get_rng_state()
    one, same, other = (make(adapter, seed=seed).model.state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(one[name], same[name]) for name in one)
    changed = {name for name in one if not torch.equal(one[name], other[name])}
    assert "encoder.embeddings.words.weight" in changed and "classifier.weight" in changed


@every_adapter
def test_saved_folder_gives_the_same_bits_labels_and_tokens(adapter, tmp_path):
    source = make(adapter, pooling="max", dropout=0.1, layers=1)
    source.save(tmp_path)
    restored = adapter.load(tmp_path, adapter.Options())
    assert torch.equal(run(source, TEXTS).logits, run(restored, TEXTS).logits)
    assert restored.tokenize(TEXTS, TEXTS[::-1], max_length=20) == source.tokenize(TEXTS, TEXTS[::-1], max_length=20)
    assert (restored.label_names, restored.pooling, restored.num_layers) == (SPACE.labels, "max", 1)
    assert restored.model.config.dropout == 0.1
    assert adapter.load(tmp_path, adapter.Options(pooling="mean")).pooling == "mean"


@every_adapter
def test_load_with_a_space_fewer_layers_and_frozen_embeddings(adapter, tmp_path):
    source = make(adapter, layers=2)
    source.save(tmp_path)
    loaded = adapter.load(tmp_path, adapter.Options(layers=1, train_embeddings=False), ClassesSpace(["low", "high"]))
    assert loaded.label_names is None and loaded.num_layers == 1
    assert not loaded.model.get_input_embeddings().weight.requires_grad
    assert torch.equal(run(loaded, TEXTS).pooled[0], run(source, TEXTS).pooled[0])
    assert run(loaded, TEXTS).logits.shape == (4, 2)


@every_adapter
def test_options_of_new_models_are_refused_on_load(adapter, tmp_path):
    make(adapter).save(tmp_path)
    with pytest.raises(InputError) as caught:
        adapter.load(tmp_path, adapter.Options(embeddings="random"))
    assert str(caught.value) == f"model '{tmp_path}': option 'embeddings' is for new models only. Leave it out."


@every_adapter
def test_pipeline_reads_a_saved_folder(adapter, tmp_path, caplog):
    source = make(adapter)
    source.save(tmp_path)
    logging.disable_progress_bar()
    answers = pipeline("text-classification", model=str(tmp_path))(TEXTS, top_k=None)
    expected = run(source, TEXTS).logits.softmax(dim=-1)
    for row, answer in zip(expected, answers, strict=True):
        scores = {entry["label"]: entry["score"] for entry in answer}
        assert scores == pytest.approx(dict(zip(SPACE.labels, row.tolist(), strict=True)), abs=1e-5)
    assert "not supported" not in caplog.text


@every_adapter
@pytest.mark.parametrize(("space", "labels", "oracle"), [
    (SPACE, torch.tensor([0, 2, 1, 0]), nn.functional.cross_entropy),
    (RegressionSpace(["score"]), torch.tensor([0.5, -1.0, 2.0, 0.0]),
     lambda logits, labels: nn.functional.mse_loss(logits.squeeze(1), labels)),
    (MultilabelSpace(["a", "b"]), torch.tensor([[1.0, 0], [0, 1], [1, 1], [0, 0]]),
     nn.functional.binary_cross_entropy_with_logits),
], ids=["classes", "regression", "multilabel"])
def test_loss_follows_the_kind_of_task(adapter, space, labels, oracle):
    source = make(adapter, space=space).eval()
    batch = source.pad(source.tokenize(TEXTS, max_length=64))
    output = source.model(**batch, labels=labels)
    torch.testing.assert_close(output.loss, oracle(output.logits, labels))
    assert output.hidden_states is None
    loss, logits = source.model(**batch, labels=labels, return_dict=False)
    assert torch.equal(loss, output.loss) and torch.equal(logits, output.logits)


@every_adapter
def test_model_without_a_mask_reads_every_token(adapter):
    source = make(adapter).eval()
    batch = source.pad(source.tokenize(TEXTS[:1], max_length=64), multiple=1)
    assert torch.equal(source.model(batch["input_ids"]).logits, source(batch).logits)


@every_adapter
def test_can_learn_the_training_texts(adapter):
    source = make(adapter, dropout=0.0)
    labels = torch.tensor([0, 1, 2, 0])
    batch = source.pad(source.tokenize(TEXTS, max_length=64))
    optimizer = torch.optim.AdamW(source.parameters(), lr=0.01)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(source(batch).logits, labels).backward()
        optimizer.step()
    assert torch.equal(run(source, TEXTS).logits.argmax(dim=-1), labels)


@every_adapter
def test_frozen_embeddings_stay(adapter):
    source = make(adapter, train_embeddings=False)
    source(source.pad(source.tokenize(TEXTS, max_length=64))).logits.sum().backward()
    assert source.model.get_input_embeddings().weight.grad is None
    assert make(adapter).model.get_input_embeddings().weight.requires_grad


@every_adapter
def test_auto_tokenizer_reads_the_word_vocabulary(adapter, tmp_path):
    source = make(adapter)
    source.save(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.model_input_names == ["input_ids", "attention_mask"]
    assert tokenizer("The RAIN froze zebras!").tokens() == ["[CLS]", "the", "rain", "froze", "[UNK]", "!"]
