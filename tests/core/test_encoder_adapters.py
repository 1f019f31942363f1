"""BERT, RoBERTa, MPNet and DistilBERT: building, layer states, saving."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModel, AutoModelForSequenceClassification, pipeline
from transformers.utils import logging
from ukd_plugins.output_spaces.classes import ClassesSpace

from ukd_adapters import (
    BertLayerSource,
    BiLSTMLayerSource,
    DistilBertLayerSource,
    MPNetLayerSource,
    RobertaLayerSource,
)
from ukd_adapters.text import words_of
from ukd_core import BuildContext, layer_source
from ukd_core.errors import InputError
from ukd_core.spec import parse_spec, read_options

TEXTS = [
    "The harbour froze early, and the ferries stayed at home.",
    "Our choir sings better when the baker brings bread!",
    "Rain fell on the market; nobody bought a single apple.",
    "The engineer measured the bridge twice and slept well.",
    "A small orchestra played for the night train's passengers.",
]
SPACE = ClassesSpace(["harbour", "choir", "market"])
FAMILY = [BertLayerSource, RobertaLayerSource, MPNetLayerSource, DistilBertLayerSource]
every_adapter = pytest.mark.parametrize("adapter", FAMILY, ids=lambda adapter: adapter.name)


def make(adapter, teacher=None, seed=0, max_length=64, **options):
    small = {} if options.get("init") else {"layers": 3, "hidden": 16, "intermediate": 24}
    if teacher is None and not options.get("init"):
        small["vocab_size"] = 400
    return adapter.build(adapter.Options(**{**small, **options}), BuildContext(SPACE, TEXTS, teacher, max_length, seed))


def run(source, texts, needs=(), pairs=None):
    source.eval()
    with torch.inference_mode():
        return source(source.pad(source.tokenize(texts, pairs, max_length=64)), frozenset(needs))


@every_adapter
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_padding_changes_no_unit(adapter, pooling):
    source = make(adapter, pooling=pooling)
    units = ["", *TEXTS, " ".join(TEXTS)]
    together = run(source, units)
    for index, text in enumerate(units):
        alone = run(source, [text])
        torch.testing.assert_close(alone.logits[0], together.logits[index], atol=1e-5, rtol=0)
        for layer, layer_alone in zip(together.pooled, alone.pooled, strict=True):
            torch.testing.assert_close(layer_alone[0], layer[index], atol=1e-5, rtol=0)


@every_adapter
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_layer_states_are_those_of_transformers_without_the_embeddings(adapter, pooling, tmp_path):
    source = make(adapter, pooling=pooling)
    source.save(tmp_path)
    states = run(source, TEXTS, {"tokens"})
    batch = source.pad(source.tokenize(TEXTS, max_length=64))
    with torch.inference_mode():
        hidden = AutoModel.from_pretrained(tmp_path).eval()(**batch, output_hidden_states=True).hidden_states[1:]
    assert source.num_layers == len(hidden) == len(states.pooled) == 3
    assert source.widths == (16, 16, 16)
    assert torch.equal(states.mask, batch["attention_mask"].bool())
    for expected, tokens, pooled in zip(hidden, states.tokens, states.pooled, strict=True):
        assert torch.equal(expected, tokens)
        lengths = batch["attention_mask"].sum(dim=1)
        oracle = [row[0] if pooling == "cls" else row[:length].double().mean(dim=0).float()
                  for row, length in zip(expected, lengths, strict=True)]
        torch.testing.assert_close(pooled, torch.stack(oracle), atol=1e-6, rtol=0)


@every_adapter
def test_attention_maps_are_rows_of_probabilities_and_only_given_when_asked_for(adapter):
    source = make(adapter)
    plain = run(source, TEXTS)
    asked = run(source, TEXTS, {"attentions"})
    assert plain.attentions is None and plain.tokens is None and plain.mask is None
    units, length = asked.mask.shape
    heads = source.model.config.num_attention_heads
    assert [tuple(maps.shape) for maps in asked.attentions] == [(units, heads, length, length)] * 3
    for maps in asked.attentions:
        torch.testing.assert_close(maps.sum(dim=-1), torch.ones(units, heads, length))
        assert maps.masked_select(~asked.mask[:, None, None, :]).abs().max() < 1e-6
    torch.testing.assert_close(plain.logits, asked.logits, atol=1e-6, rtol=0)


@every_adapter
def test_saved_folder_gives_the_same_bits_labels_and_tokens(adapter, tmp_path):
    source = make(adapter, pooling="mean")
    source.save(tmp_path)
    restored = adapter.load(tmp_path, adapter.Options())
    assert torch.equal(run(source, TEXTS).logits, run(restored, TEXTS).logits)
    assert restored.tokenize(TEXTS, TEXTS[::-1], max_length=20) == source.tokenize(TEXTS, TEXTS[::-1], max_length=20)
    assert restored.label_names == SPACE.labels
    assert restored.pooling == "mean"
    assert restored.model.config.problem_type == "single_label_classification"


@every_adapter
def test_pipeline_reads_a_saved_folder(adapter, tmp_path):
    source = make(adapter)
    source.save(tmp_path)
    logging.disable_progress_bar()
    answers = pipeline("text-classification", model=str(tmp_path))(TEXTS, top_k=None)
    expected = run(source, TEXTS).logits.softmax(dim=-1)
    for row, answer in zip(expected, answers, strict=True):
        scores = {entry["label"]: entry["score"] for entry in answer}
        assert scores == pytest.approx(dict(zip(SPACE.labels, row.tolist(), strict=True)), abs=1e-5)


@every_adapter
def test_longest_input_is_read_and_longer_texts_are_cut(adapter):
    source = make(adapter)
    assert source.max_positions == 512
    batch = source.tokenize(["bread " * 2000], max_length=10_000)
    assert len(batch["input_ids"][0]) == 512
    assert run(source, ["bread " * 2000]).logits.isfinite().all()
    source.eval()
    assert source(source.pad(batch)).logits.isfinite().all()
    assert make(adapter, max_length=700).max_positions == 700


@every_adapter
def test_pairs_are_not_the_joined_text(adapter):
    source = make(adapter)
    pair = source.tokenize(["rain fell"], ["on the market"], max_length=64)
    joined = source.tokenize(["rain fell on the market"], max_length=64)
    assert len(pair["input_ids"][0]) > len(joined["input_ids"][0])
    assert run(source, ["rain fell"], pairs=["on the market"]).logits.isfinite().all()


@pytest.mark.parametrize("adapter", [BertLayerSource, RobertaLayerSource], ids=lambda adapter: adapter.name)
@pytest.mark.parametrize("side", ["right", "left"])
def test_pairs_are_cut_as_the_tokenizer_cuts_them(adapter, side):
    source = make(adapter)
    source.tokenizer.truncation_side = side
    texts = ["", *(" ".join(TEXTS[1].split()[:count]) for count in (1, 2, 5, 8)), " ".join(TEXTS)]
    special = source.tokenizer.num_special_tokens_to_add(pair=True)
    for limit in (*range(special + 1, special + 9), 21, 40, 64):
        for first in texts:
            cut = source.tokenize([first] * len(texts), texts, max_length=limit)
            expected = source.tokenizer([first] * len(texts), texts, truncation=True, max_length=limit)
            assert cut == {key: expected[key] for key in cut}


@pytest.mark.parametrize("pairs", [None, ["rain fell on the market"] * 6])
def test_texts_that_are_read_a_few_at_a_time_give_the_same_tokens(monkeypatch, pairs):
    source, texts = make(BertLayerSource), ["", TEXTS[0], TEXTS[1] * 9, "bread", TEXTS[1], ""]
    whole = source.tokenize(texts, pairs, max_length=12)
    monkeypatch.setattr(layer_source, "LETTERS_AT_ONCE", 40)
    assert source.tokenize(texts, pairs, max_length=12) == whole
    assert [len(rows) for rows in whole.values()] == [6] * len(whole)
    assert source.tokenize([], max_length=12) == {}


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 20))
def test_parts_are_whole_and_small(sizes, most):
    parts = list(layer_source.turns(sizes, most))
    assert [place for part in parts for place in range(*part)] == list(range(len(sizes)))
    for begin, end in parts:
        assert sum(sizes[begin:end]) <= most or end - begin == 1
    for (begin, _), (_, end) in pairwise(parts):
        assert sum(sizes[begin:end]) > most  # two neighbours would not have gone together


def test_long_pairs_need_memory_for_their_tokens_only():
    # The tokenizer's own cut of this pair builds 16 million pieces.
    source = make(RobertaLayerSource)
    rows = source.tokenize(["apple " * 4000], ["bread " * 4000], max_length=6)
    assert len(rows["input_ids"][0]) == 6


def test_fresh_weights_follow_the_seed_and_leave_the_global_generator_alone():
    before = torch.random.get_rng_state()
    one, same, other = (make(BertLayerSource, seed=seed).model.state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["classifier.weight"], other["classifier.weight"])


@every_adapter
def test_fresh_defaults_are_small_and_heads_divide_the_width(adapter):
    source = adapter.build(adapter.Options(), BuildContext(SPACE, TEXTS, None, 64, 0))
    config = source.model.config
    assert (source.num_layers, config.hidden_size, config.num_attention_heads) == (4, 256, 4)
    assert source.learning_rate == 5e-4 and source.label_names is None
    assert make(adapter, hidden=15, intermediate=20).model.config.num_attention_heads == 1


@every_adapter
def test_the_same_texts_give_the_same_tokenizer(adapter):
    first, *more = (adapter.train_tokenizer(TEXTS, 400).backend_tokenizer.to_str() for _ in range(4))
    assert more == [first] * 3


def test_trained_vocabulary_keeps_to_its_size_and_starts_with_the_special_tokens():
    tokenizer = BertLayerSource.train_tokenizer([chr(code) + "x" for code in range(0x3B1, 0x7FF)], 300)
    tokens = words_of(tokenizer)
    assert 290 < len(tokens) <= 300 and tokens[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert tokenizer.tokenize("x")[0] == "x"


def test_dropout_option_reaches_every_dropout_of_the_encoder(tmp_path):
    source = make(DistilBertLayerSource, dropout=0.25)
    assert {module.p for module in source.model.distilbert.modules() if isinstance(module, torch.nn.Dropout)} == {0.25}
    source.save(tmp_path)
    loaded = DistilBertLayerSource.load(tmp_path, DistilBertLayerSource.Options(dropout=0.0))
    assert {module.p for module in loaded.model.distilbert.modules() if isinstance(module, torch.nn.Dropout)} == {0.0}


def test_fresh_student_shares_the_tokenizer_of_a_teacher_of_its_kind_only():
    teacher = BertLayerSource.build(BertLayerSource.Options(layers=1, hidden=4), BuildContext(SPACE, ["a"], None, 9, 0))
    assert words_of(make(BertLayerSource, teacher).tokenizer) == words_of(teacher.tokenizer)
    assert "harbour" in words_of(make(BertLayerSource, teacher, vocab_size=300).tokenizer)
    assert "Ġthe" in make(RobertaLayerSource, teacher, vocab_size=400).tokenizer.get_vocab()


@pytest.mark.parametrize(("sizes", "rate"), [
    ({"hidden": 768, "layers": 3}, 1e-4), ({"hidden": 384, "layers": 3}, 2e-4), ({"hidden": 192, "layers": 12}, 2e-4),
    ({"hidden": 1024, "layers": 1}, 1.299038e-4), ({"hidden": 8, "layers": 2}, 5e-4)])
def test_smaller_pretrained_encoders_learn_at_larger_rates_up_to_that_of_random_weights(sizes, rate):
    teacher = make(BertLayerSource, heads=2, intermediate=2, **sizes)
    student = make(BertLayerSource, teacher, init="teacher-lower", layers=sizes["layers"])
    assert student.learning_rate == pytest.approx(rate, rel=1e-6) and teacher.learning_rate == 5e-4


@every_adapter
def test_teacher_lower_copies_embeddings_and_lower_layers_and_nothing_else(adapter):
    teacher = make(adapter, seed=1, pooling="mean")
    student = make(adapter, teacher, init="teacher-lower", layers=2, seed=5)
    assert student.num_layers == 2 and student.pooling == "mean"
    assert student.tokenize(TEXTS, max_length=64) == teacher.tokenize(TEXTS, max_length=64)
    theirs, ours = teacher.model.state_dict(), student.model.state_dict()
    encoder = [name for name in ours if name.startswith(student.model.base_model_prefix)]
    assert len(encoder) > 20
    assert all(torch.equal(ours[name], theirs[name]) for name in encoder)
    new = [name for name in ours if name not in encoder and name.endswith("weight")]
    assert new and not any(torch.equal(ours[name], theirs[name]) for name in new)
    for layer in range(2):
        assert torch.equal(run(student, TEXTS).pooled[layer], run(teacher, TEXTS).pooled[layer])
    student.model.get_input_embeddings().weight.data.zero_()
    assert teacher.input_embeddings().abs().sum() > 0


def test_teacher_lower_takes_half_of_the_layers_unless_told():
    assert make(BertLayerSource, make(BertLayerSource, layers=5), init="teacher-lower").num_layers == 2


@pytest.mark.parametrize(("options", "teacher", "text"), [
    ({"init": "teacher-lower"}, None,
     "adapter 'bert': init=teacher-lower expected a teacher of adapter 'bert', got no teacher. "
     "Use init=random, or a student of the teacher's kind."),
    ({"init": "teacher-lower"}, RobertaLayerSource,
     "adapter 'bert': init=teacher-lower expected a teacher of adapter 'bert', got a teacher of adapter 'roberta'. "
     "Use init=random, or a student of the teacher's kind."),
    ({"init": "teacher-lower", "layers": 9}, BertLayerSource,
     "adapter 'bert': init=teacher-lower expected layers ≤ 3 (the teacher's), got 9. Take fewer layers."),
    ({"init": "teacher-lower", "hidden": 32}, BertLayerSource,
     "adapter 'bert': option 'hidden' cannot change with init=teacher-lower, which copies the teacher's. "
     "Leave it out."),
    ({"hidden": 16, "heads": 3}, None,
     "adapter 'bert': expected hidden to be a multiple of heads, got hidden=16 and heads=3. Change one of them."),
])
def test_what_cannot_be_built_says_why(options, teacher, text):
    with pytest.raises(InputError) as caught:
        make(BertLayerSource, make(teacher) if teacher else None, **options)
    assert str(caught.value) == text


def test_options_are_checked():
    with pytest.raises(InputError, match="'init' has a wrong value: Input should be 'random' or 'teacher-lower'"):
        read_options(BertLayerSource.Options, parse_spec("bert:init=teacher-upper").options, "student")


def test_frozen_embeddings_are_not_trained():
    source = make(BertLayerSource, freeze_embeddings=True)
    source(source.pad(source.tokenize(TEXTS, max_length=64))).logits.sum().backward()
    assert source.model.get_input_embeddings().weight.grad is None
    assert source.model.bert.embeddings.position_embeddings.weight.grad is not None
    assert make(BertLayerSource).model.get_input_embeddings().weight.requires_grad


def test_bert_reads_segments_and_a_borrowed_tokenizer_gives_a_word_model_none():
    teacher = make(BertLayerSource)
    batch = teacher.pad(teacher.tokenize(["rain"], ["bread"], max_length=16))
    assert batch["token_type_ids"].sum() > 0
    student = BiLSTMLayerSource.build(BiLSTMLayerSource.Options(vocabulary="teacher", hidden=4),
                                      BuildContext(SPACE, TEXTS, teacher, 64, 0)).eval()
    assert student(student.pad(student.tokenize(["rain"], ["bread"], max_length=16))).logits.shape == (1, 3)


def test_auto_class_reads_a_saved_student(tmp_path):
    source = make(MPNetLayerSource)
    source.save(tmp_path)
    logging.disable_progress_bar()
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    with torch.inference_mode():
        logits = model(**source.pad(source.tokenize(TEXTS, max_length=64))).logits
    assert torch.equal(logits, run(source, TEXTS).logits)


def test_a_length_that_leaves_no_text_is_refused(registry):
    kind = registry.layer_sources.lookup("roberta")
    space = registry.output_spaces.lookup("classes")(["a", "b"])
    source = kind.build(kind.Options(layers=1, hidden=16), BuildContext(space, TEXTS, None, 16, 0))
    with pytest.raises(InputError) as caught:
        source.tokenize(["rain"], ["bread"], max_length=3)
    assert str(caught.value) == ("max_length: expected more than the 4 special tokens of adapter 'roberta', got 3. "
                                 "Raise --max-length.")
