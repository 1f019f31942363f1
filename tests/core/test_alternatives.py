"""What a user would pick instead: fitted to tiny tasks of every kind, and refused where it cannot serve."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import fasttext
import numpy as np
import pytest
import torch

from ukd_core import BuildContext
from ukd_core.run.alternatives import ALTERNATIVES, Task
from ukd_core.run.alternatives.static_table import SIF, static_table
from ukd_core.run.alternatives.task import NotServed
from ukd_core.run.forward import classify
from ukd_core.run.rows import TokenizedRows
from ukd_core.run.teacher import Teacher

OIL, GRAIN = ("oil rose today", "crude oil prices", "the oil price fell"), ("wheat and corn", "a good corn harvest",
                                                                          "wheat prices rose")
TEXTS = [f"{text} {number}" for number in range(6) for text in (*OIL, *GRAIN)]


def space_of(registry, kind: str = "classes", labels: Any = ("grain", "oil")):
    return registry.output_spaces.lookup(kind)(labels)


def task_of(space, labels, texts=TEXTS, pairs=None, teacher=None) -> Task:
    def given() -> Teacher:
        if teacher is None:
            raise RuntimeError("this alternative needs no teacher")
        return Teacher(teacher, probe=False)

    return Task(texts, pairs, np.asarray(labels), space, 0, 32, given)


def oil(texts=TEXTS) -> list[int]:
    return [int("oil" in text) for text in texts]


@pytest.fixture
def teacher(registry):
    """A tiny encoder over words."""
    kind = registry.layer_sources.lookup("cnn")
    context = BuildContext(space_of(registry), TEXTS, None, 32, 0)
    return kind.build(kind.Options(layers=1, hidden=8, embedding_width=8), context).eval()


@pytest.mark.parametrize("name", ["tfidf", "fasttext", "model2vec"])
def test_classes_are_learned_and_scores_are_those_of_the_space(registry, teacher, name):
    space = space_of(registry, labels=("grain", "oil", "ship"))  # one that no row has
    made = [ALTERNATIVES[name].fit(task_of(space, oil(), teacher=teacher)) for _ in range(2)]
    texts = ["oil", "", "corn and wheat", "nothing that was seen\nbefore 漢字"]
    scores = made[0].answer(texts, None)
    assert scores.shape == (4, 3) and np.isfinite(scores).all()
    assert space.predictions(torch.from_numpy(scores[[0, 2]])).tolist() == [1, 0]
    assert (scores.argmax(axis=1) < 2).all()  # never the class that was not seen
    assert np.exp(scores).sum(axis=1) == pytest.approx(np.ones(4), abs=1e-3)
    assert np.array_equal(scores, made[1].answer(texts, None))  # the same rows give the same model
    assert made[0].bytes > 0 and made[0].parameters > 0


def test_pairs_are_read_as_one_text(registry):
    space = space_of(registry)
    pairs = [text.split()[0] for text in TEXTS]
    for name in ("tfidf", "fasttext"):
        fitted = ALTERNATIVES[name].fit(task_of(space, oil(), ["the news"] * len(TEXTS), TEXTS))
        scores = fitted.answer(["the news", "the news"], ["crude oil", "corn"])
        assert scores.argmax(axis=1).tolist() == [1, 0]
        with pytest.raises(ValueError):
            fitted.answer(["one"], pairs)


def test_several_labels_have_a_model_each(registry):
    space = space_of(registry, "multilabel", ("oil", "prices", "always", "never"))
    labels = [[float("oil" in text), float("prices" in text), 1.0, 0.0] for text in TEXTS]
    scores = ALTERNATIVES["tfidf"].fit(task_of(space, labels)).answer(["crude oil prices", "corn"], None)
    assert space.predictions(torch.from_numpy(scores)).tolist() == [[1, 1, 1, 0], [0, 0, 1, 0]]
    rows = len(TEXTS)  # of a label that all rows have, all that is known is how many they are
    assert scores[:, 2] == pytest.approx(np.full(2, np.log(rows + 1)))
    assert scores[:, 3] == pytest.approx(np.full(2, -np.log(rows + 1)))


def test_numbers_are_a_ridge_regression(registry):
    space = space_of(registry, "regression", ("score",))
    fitted = ALTERNATIVES["tfidf"].fit(task_of(space, [3.0 if "oil" in text else -1.0 for text in TEXTS]))
    scores = fitted.answer(["crude oil prices", "a good corn harvest"], None)
    assert scores.shape == (2, 1)
    assert scores[:, 0] == pytest.approx([3.0, -1.0], abs=0.8)


def test_few_rows_and_one_row_of_a_class(registry):
    space = space_of(registry)
    fitted = ALTERNATIVES["tfidf"].fit(task_of(space, [1, 0], ["crude oil", "corn"]))
    assert fitted.answer(["oil"], None).argmax() == 1
    texts = [*OIL * 10, "corn"]
    fitted = ALTERNATIVES["tfidf"].fit(task_of(space, oil(texts), texts))
    assert fitted.answer(["corn"], None).shape == (1, 2)


def test_the_static_table_is_that_of_the_formula(teacher):
    table = static_table(teacher, 32, 0)
    tokens = len(teacher.tokenizer)
    frame = teacher.tokenize(["oil"], max_length=32)["input_ids"][0]
    place = frame.index(teacher.tokenizer.convert_tokens_to_ids("oil"))
    states = []
    for token in range(tokens):
        ids = torch.tensor([[*frame[:place], token, *frame[place + 1:]]])
        with torch.no_grad():
            shown = teacher({"input_ids": ids, "attention_mask": torch.ones_like(ids)}, frozenset({"tokens"}))
        states.append(shown.tokens[-1][0].double().mean(dim=0).numpy())
    centred = np.stack(states) - np.mean(states, axis=0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    share = 1 / np.arange(2, tokens + 2)
    expected = left * size * (SIF / (SIF + share / share.sum()))[:, None]
    assert table.dtype == np.float16 and table.shape == (tokens, 8)
    for axis in range(8):  # the sign of an axis means nothing
        sign = np.sign(expected[:, axis] @ table[:, axis].astype(float))
        assert table[:, axis].astype(float) * sign == pytest.approx(expected[:, axis], abs=2e-3)


@pytest.mark.skipif(torch.__version__ < (2, 13), reason="the extra 'onnx' needs a newer torch")
def test_the_teacher_in_eight_bits_answers_nearly_as_it_does(registry, teacher):
    space = space_of(registry)
    fitted = ALTERNATIVES["teacher-int8"].fit(task_of(space, oil(), teacher=teacher))
    texts = ["oil rose today", "", "corn"]
    expected = classify(teacher, TokenizedRows.of(teacher, texts, None, 32)).numpy()
    found = fitted.answer(texts, None)
    assert found.shape == (3, 2)
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()
    assert not np.array_equal(found, expected)  # it is rounded
    assert fitted.parameters == teacher.num_parameters


def why(name: str, task: Task) -> str:
    with pytest.raises(NotServed) as reason:
        ALTERNATIVES[name].fit(task)
    return str(reason.value)


def test_what_cannot_be_served_is_said(registry, monkeypatch, teacher):
    space = space_of(registry)
    assert why("tfidf", task_of(space, [0, 1], ["", " "])).startswith("scikit-learn says: ")
    several = task_of(space_of(registry, "multilabel"), [[0.0, 1.0]] * len(TEXTS))
    assert why("fasttext", several) == "fastText answers with one of several classes, and this task is another"
    strange = space_of(registry)
    monkeypatch.setattr(type(strange), "problem_type", "strange")
    assert why("tfidf", task_of(strange, oil())) == "it does not know the output space 'classes'"
    monkeypatch.undo()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Encountered NaN.")

    monkeypatch.setattr(fasttext, "train_supervised", fail)
    assert why("fasttext", task_of(space, oil())) == "fastText says: Encountered NaN"
    monkeypatch.setitem(sys.modules, "fasttext", None)
    assert why("fasttext", task_of(space, oil())) == "fasttext-numpy2 is not installed"
    probe = dataclasses.replace(task_of(space, oil()), teacher=lambda: Teacher(teacher, probe=True))
    assert why("teacher-int8", probe) == (
        "the teacher's classifier is a probe of this run, which is no part of its weights")
    with monkeypatch.context() as patch:
        patch.setattr("ukd_core.run.export.graph.find_spec", lambda package: None)
        assert why("teacher-int8", task_of(space, oil(), teacher=teacher)).startswith("it cannot be exported: ONNX: ")
    monkeypatch.setattr(type(teacher), "tokens_available", False)
    assert why("model2vec", task_of(space, oil(), teacher=teacher)) == (
        "the teacher shows no token states to make a table of")
    monkeypatch.setitem(sys.modules, "model2vec", None)
    assert why("model2vec", task_of(space, oil(), teacher=teacher)) == (
        "model2vec is not installed (pip install 'ukd[alternatives]')")


@pytest.mark.parametrize(("given", "text"), [
    ("tfidf,fasttxt", "ukd: alternative 'fasttxt': no such alternative. Did you mean 'fasttext'? Available: "
                      "fasttext, model2vec, teacher-int8, tfidf.\n"),
    (" ,", "ukd: option 'alternatives': expected names, got none. Available: "
           "fasttext, model2vec, teacher-int8, tfidf.\n"),
])
def test_names_are_checked_before_anything_else(ukd, tmp_path, given, text):
    assert ukd("verdict", tmp_path, "--alternatives", given) == (2, "", text)
    assert ukd("distill", "--teacher=bert", "--student=cnn", "--data=none.csv", f"--output={tmp_path / 'run'}",
               "--alternatives", given) == (2, "", text)
    assert not (tmp_path / "run").exists()
