"""Vocabularies and embedding tables of the word models: from texts, from a teacher, from files."""

from __future__ import annotations

import logging
import os
import sys

import fasttext
import numpy as np
import pytest
import torch
from ukd_plugins.output_spaces.classes import ClassesSpace

from ukd_adapters import BertLayerSource, BiLSTMLayerSource, CNNLayerSource, RobertaLayerSource
from ukd_adapters.text import words_of
from ukd_core import BuildContext
from ukd_core.errors import InputError

TEXTS = [
    "The harbour froze early, and the ferries stayed at home.",
    "Our choir sings better when the baker brings bread!",
    "Rain fell on the market; nobody bought a single apple at the harbour.",
    "L'été, the café opens its harbour terrace.",
]
SPACE = ClassesSpace(["harbour", "choir", "market"])


def make(teacher=None, adapter=BiLSTMLayerSource, texts=TEXTS, **options):
    return adapter.build(adapter.Options(hidden=4, **options), BuildContext(SPACE, texts, teacher, 64, 0))


def encoder(adapter, texts=TEXTS):
    options = adapter.Options(layers=1, hidden=16, intermediate=16, vocab_size=330)
    return adapter.build(options, BuildContext(SPACE, texts, None, 64, 0))


def table_of(source):
    return dict(zip(words_of(source.tokenizer), source.input_embeddings(), strict=True))


def refused(text, **options):
    with pytest.raises(InputError) as caught:
        make(**options)
    assert str(caught.value) == text


def test_words_are_lower_cased_counted_and_limited():
    assert "The" not in words_of(make().tokenizer)
    assert {"The", "the"} <= set(words_of(make(lowercase=False).tokenizer))
    assert words_of(make(min_count=3).tokenizer) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", ".", "harbour"]
    assert len(words_of(make(vocab_size=9).tokenizer)) == 9
    assert {"café", "été"} <= set(words_of(make().tokenizer))


def test_rare_words_are_dropped_once_there_are_a_thousand_texts():
    assert "rare" in words_of(make(texts=["common words", "rare"]).tokenizer)
    assert words_of(make(texts=["common"] * 999 + ["rare"]).tokenizer)[4:] == ["common"]
    assert words_of(make(texts=["common"] * 998 + ["rare"]).tokenizer)[4:] == ["common", "rare"]


def test_every_text_has_a_token_and_pairs_are_parted():
    tokenizer = make().tokenizer
    assert tokenizer("").tokens() == ["[CLS]"]
    assert tokenizer("rain", "bread").tokens() == ["[CLS]", "rain", "[SEP]", "bread"]


def test_vocabulary_file_of_a_torchtext_vocab(tmp_path):
    (tmp_path / "vocab.txt").write_text("<unk>\n<pad>\nharbour\nrain\n\nharbour\n", encoding="utf-8")
    source = make(vocabulary=str(tmp_path / "vocab.txt"))
    assert words_of(source.tokenizer) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "harbour", "rain"]
    assert source.tokenizer("Harbour rain bread").tokens() == ["[CLS]", "harbour", "rain", "[UNK]"]


def test_vocabulary_file_that_is_missing_or_empty(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    for name in ("none.txt", "pipe.txt"):
        refused(f"vocabulary '{tmp_path}/{name}': expected a UTF-8 text file with one word a line, got something "
                "unreadable. Give words, teacher or the path of such a file.", vocabulary=f"{tmp_path}/{name}")
    (tmp_path / "empty.txt").write_text("\n<unk>\n")
    refused(f"vocabulary '{tmp_path}/empty.txt': expected one word a line, got an empty file. Write one word a line.",
            vocabulary=f"{tmp_path}/empty.txt")


def test_vocabulary_of_a_teacher_copies_its_table(tmp_path):
    teacher = encoder(RobertaLayerSource)
    source = make(teacher, vocabulary="teacher")
    assert source.tokenize(TEXTS, max_length=64) == teacher.tokenize(TEXTS, max_length=64)
    pad = teacher.tokenizer.pad_token_id
    others = [index for index in range(len(teacher.tokenizer)) if index != pad]
    assert torch.equal(source.input_embeddings()[others], teacher.input_embeddings()[others])
    assert source.input_embeddings()[pad].eq(0).all()
    source.save(tmp_path)
    loaded = BiLSTMLayerSource.load(tmp_path, BiLSTMLayerSource.Options())
    assert loaded.tokenize(TEXTS, max_length=64) == teacher.tokenize(TEXTS, max_length=64)


def test_vocabulary_of_a_teacher_that_is_not_there():
    refused("adapter 'bilstm': vocabulary=teacher expected a teacher, got none. Use vocabulary=words.",
            vocabulary="teacher")


@pytest.mark.parametrize("kind", [RobertaLayerSource, BertLayerSource], ids=lambda kind: kind.name)
@pytest.mark.parametrize("adapter", [BiLSTMLayerSource, CNNLayerSource], ids=lambda kind: kind.name)
def test_words_start_from_the_mean_of_the_teachers_pieces(kind, adapter):
    teacher = encoder(kind, TEXTS[:2])
    table = table_of(make(teacher, adapter))
    rows = teacher.input_embeddings().numpy().astype(np.float64)
    pieces = {word: teacher.tokenizer.tokenize("bread " + word)[len(teacher.tokenizer.tokenize("bread")):]
              for word in table if not word.startswith("[")}
    assert max(map(len, pieces.values())) > 1
    assert pieces["the"] == ["Ġthe" if kind is RobertaLayerSource else "the"]
    for word, parts in pieces.items():
        expected = np.mean([rows[teacher.tokenizer.convert_tokens_to_ids(part)] for part in parts], axis=0)
        np.testing.assert_allclose(table[word].numpy(), expected, atol=1e-7, rtol=0)
    assert table["[PAD]"].eq(0).all()
    for own, name in (("[UNK]", "unk_token_id"), ("[CLS]", "cls_token_id"), ("[SEP]", "sep_token_id")):
        assert np.array_equal(table[own].numpy(), rows[getattr(teacher.tokenizer, name)].astype(np.float32))


def test_a_word_model_can_teach_a_word_model():
    teacher = make(texts=TEXTS[:2], embeddings="random", embedding_width=8)
    student = table_of(make(teacher))
    theirs = table_of(teacher)
    assert torch.equal(student["choir"], theirs["choir"])
    assert torch.equal(student["apple"], theirs["[UNK]"])


def test_a_teacher_without_embeddings_is_refused(monkeypatch):
    teacher = encoder(BertLayerSource)
    monkeypatch.setattr(BertLayerSource, "input_embeddings", lambda self: None)
    refused("embeddings 'teacher': expected a teacher with a token embedding table, got adapter 'bert' without one. "
            "Use random, fasttext or a file of word vectors.", teacher=teacher)
    assert make(teacher, embeddings="random").widths == (8, 8)


def test_without_a_teacher_embeddings_are_random():
    table = make(embedding_width=50).input_embeddings()
    assert table.shape[1] == 50 and table[0].eq(0).all()
    assert table[1:].std() == pytest.approx(0.1, rel=0.1)


VECTORS = {"harbour": [0.5, -1.0, 2.0], "rain": [1.5, 0.25, -3.0], "THE": [9.0, 9.0, 9.0]}


def lines(header=False):
    rows = [f"{word} {' '.join(map(str, numbers))}" for word, numbers in VECTORS.items()]
    return "\n".join([f"{len(VECTORS)} 3", *rows] if header else rows) + "\n"


def write_vectors(folder, name):
    path = folder / name
    if name.endswith(".pt"):
        words = list(VECTORS)
        index = {word: number for number, word in enumerate(words)}
        torch.save((words, index, torch.tensor(list(VECTORS.values())), 3), path)
    else:
        path.write_text(lines(header=name.endswith(".vec")), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", ["vectors.vec", "glove.txt", "vectors.txt.pt"])
def test_word_vectors_from_a_file(tmp_path, name, caplog):
    location = write_vectors(tmp_path, name)
    with caplog.at_level(logging.INFO, logger="ukd"):
        source = make(embeddings=location)
    table = table_of(source)
    assert table["harbour"].tolist() == VECTORS["harbour"] and table["rain"].tolist() == VECTORS["rain"]
    assert caplog.messages == [f"word vectors '{location}': 2 of {len(table)} words found"]
    assert table["bread"].ne(0).all() and not torch.equal(table["bread"], table["apple"])
    assert table["[PAD]"].eq(0).all()
    assert run_is_finite(source)


def run_is_finite(source):
    return source(source.pad(source.tokenize(TEXTS, max_length=64))).logits.isfinite().all()


def test_words_with_spaces_and_blank_lines_in_a_file_are_passed_over(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text("harbour 1 2\n. . . 3 4\n\nrain 5 6\n", encoding="utf-8")
    table = table_of(make(embeddings=str(path)))
    assert table["rain"].tolist() == [5.0, 6.0]


def test_a_fasttext_model_file_gives_a_vector_for_every_word(tmp_path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(TEXTS[:2]).lower(), encoding="utf-8")
    model = fasttext.train_unsupervised(str(corpus), dim=6, minCount=1, bucket=100, thread=11, verbose=0)
    model.save_model(str(tmp_path / "model.bin"))
    table = table_of(make(embeddings=str(tmp_path / "model.bin")))
    for word in ("harbour", "apple"):
        np.testing.assert_array_equal(table[word].numpy(), model.get_word_vector(word))
    assert table["apple"].abs().sum() > 0


def test_fasttext_trained_on_the_texts_is_reproducible_and_silent(capfd):
    one, two = (make(embeddings="fasttext", embedding_width=7).input_embeddings() for _ in range(2))
    assert one.shape[1] == 7 and one.isfinite().all() and one[1:].abs().sum(dim=1).min() > 0
    assert torch.equal(one, two)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("name", "content", "text"), [
    ("short.vec", b"2 3\nharbour 1 2 3\nrain 1 2\n",
     "line 3: expected a word and 3 numbers, got 2. Give word vectors as text: a word and its numbers on each line."),
    ("prose.txt", b"once upon a time there was rain\nharbour upon a time there was rain\n",
     "line 2: expected a word and 6 numbers, got other text. "
     "Give word vectors as text: a word and its numbers on each line."),
    ("single.txt", b"harbour\n",
     "line 1: expected a word and 1 numbers, got 0. Give word vectors as text: a word and its numbers on each line."),
    ("foreign.vec", b"1 2\nzebra 1 2\n",
     "expected vectors for the words of the task, got a file with none of them. "
     "Check the language of the file and the option lowercase."),
    ("broken.txt", b"harbour 1 nan\n", "expected finite numbers, got infinite ones or NaN. Use another file."),
    ("model.bin", b"no model", "expected a fastText model, got a file that fastText cannot read. "
                               "Word vectors as text have the ending .vec or .txt."),
    ("cache.pt", b"no cache", "expected torchtext's cache of Vectors, a tuple (words, index, vectors, width), got a "
                              "file that torch.load(weights_only=True) refuses. "
                              "Load it with torchtext once and save it as text."),
])
def test_unusable_files_say_why(tmp_path, name, content, text):
    (tmp_path / name).write_bytes(content)
    refused(f"embeddings '{tmp_path / name}': {text}", embeddings=str(tmp_path / name))


def test_a_torch_file_of_something_else(tmp_path):
    torch.save({"weight": torch.ones(2)}, tmp_path / "weights.pt")
    refused(f"embeddings '{tmp_path}/weights.pt': expected torchtext's cache of Vectors, a tuple (words, index, "
            "vectors, width), got dict. Give the .pt file in torchtext's cache.", embeddings=f"{tmp_path}/weights.pt")


def test_a_name_that_is_no_file():
    refused("embeddings 'glvoe.txt': expected teacher, random, fasttext or a file of word vectors, got no such file. "
            "Check the path.", embeddings="glvoe.txt")


def test_a_width_that_the_file_does_not_have(tmp_path):
    location = write_vectors(tmp_path, "vectors.vec")
    refused(f"adapter 'bilstm': expected embedding_width=3, the width of embeddings '{location}', got 50. "
            "Leave it out.", embeddings=location, embedding_width=50)


def test_a_failure_of_fasttext_is_one_line(monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("Encountered NaN.")

    monkeypatch.setattr(fasttext, "train_unsupervised", fail)
    refused("embeddings 'fasttext': fastText failed: Encountered NaN. Use random embeddings or a file of vectors.",
            embeddings="fasttext")


def test_fasttext_needs_words_and_its_package(monkeypatch):
    refused("embeddings 'fasttext': expected texts with words, got none. Use random embeddings.",
            embeddings="fasttext", texts=["", " "])
    monkeypatch.setitem(sys.modules, "fasttext", None)
    refused("embeddings 'fasttext': expected the package fasttext-numpy2, which could not be imported. "
            "pip install fasttext-numpy2", embeddings="fasttext")
