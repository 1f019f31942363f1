"""The three output spaces: label names, encoding, losses, answers and metrics."""

from __future__ import annotations

import math
from functools import partial

import evaluate
import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics
from ukd_plugins.output_spaces.classes import ClassesSpace
from ukd_plugins.output_spaces.metrics import F1, Accuracy, Correlations, MatthewsCorrelation, MeanSquaredError
from ukd_plugins.output_spaces.multilabel import MultilabelSpace
from ukd_plugins.output_spaces.regression import RegressionSpace

SENTIMENT = ClassesSpace(["negative", "positive"])
TOPICS = MultilabelSpace(["art", "law", "sport"])
NUMBER = RegressionSpace(["score"])


@pytest.mark.parametrize(("values", "names"), [
    ([1, 0, 1], ("0", "1")),
    ([0, 2, 3, 0], ("0", "1", "2", "3")),  # 1 is missing from these rows only
    ([0, 4], ("0", "4")),  # too many would be missing
    ([5, 1, 3, 10], ("1", "3", "5", "10")),
    ([-1, 1], ("-1", "1")),
    ([1.0, 0.0], ("0", "1")),
    (np.array([0, 1, 2]), ("0", "1", "2")),
    (["10", "9"], ("9", "10")),
    (["spam", "ham", "spam"], ("ham", "spam")),
    ([True, False], ("False", "True")),
    (["b", 2, "a"], ("2", "a", "b")),
])
def test_classes_get_their_names_from_the_values_of_the_column(values, names):
    assert ClassesSpace.label_names(values) == names


@pytest.mark.parametrize(("labels", "value", "index"), [
    (["negative", "positive"], "positive", 1),
    (["negative", "positive"], 0, 0),
    (["negative", "positive"], np.int64(1), 1),
    (["negative", "positive"], 1.0, 1),
    (["negative", "positive"], True, 1),
    (["False", "True"], True, 1),
    (["1", "2", "3"], 1, 0),  # a name comes before an index
    (["1", "2", "3"], 2.0, 1),
    (["1", "2", "3"], "3", 2),
    (["3", "1"], 0, 0),
])
def test_a_label_is_a_name_first_and_then_an_index(labels, value, index):
    encoded = ClassesSpace(labels).encode(value)
    assert encoded == index and type(encoded) is int


@pytest.mark.parametrize("value", ["Positive", 2, -1, 0.5, math.nan, math.inf, None, "1", ""])
def test_a_label_outside_of_the_classes_is_refused(value):
    with pytest.raises(ValueError) as error:
        SENTIMENT.encode(value)
    assert str(error.value) == f"label {value!r} is none of ['negative', 'positive']"


def test_every_value_is_found_under_the_names_it_implied():
    for values in ([0, 2, 3], [1, 5], ["b", "a"], [True, False], [1.0, 2.0], ["10", "9"], [0.5, 1.5]):
        space = ClassesSpace(ClassesSpace.label_names(values))
        assert [space.labels[space.encode(value)] for value in values] == [
            str(int(value)) if isinstance(value, float) and value.is_integer() else str(value) for value in values]


def test_missing_labels_are_told_apart():
    assert SENTIMENT.is_labelled(torch.tensor([0, SENTIMENT.missing, 1])).tolist() == [True, False, True]
    assert NUMBER.is_labelled(torch.tensor([0.0, NUMBER.missing])).tolist() == [True, False]
    assert TOPICS.is_labelled(torch.tensor([TOPICS.encode([]), TOPICS.missing])).tolist() == [True, False]


def test_label_loss_of_classes_is_cross_entropy_for_every_layer():
    logits, labels = torch.randn(3, 5, 2), torch.tensor([0, 1, 1, 0, 1])
    expected = torch.stack([torch.nn.functional.cross_entropy(layer, labels, reduction="none") for layer in logits])
    torch.testing.assert_close(SENTIMENT.label_loss(logits, labels), expected)


def test_label_loss_of_several_labels_is_summed_binary_cross_entropy():
    logits, labels = torch.randn(2, 5, 3).double(), torch.randint(0, 2, (5, 3)).float()
    holds = logits.sigmoid()
    expected = -(labels * holds.log() + (1 - labels) * (1 - holds).log()).sum(-1)
    torch.testing.assert_close(TOPICS.label_loss(logits, labels), expected)


def test_label_loss_of_regression_is_the_squared_difference():
    logits, labels = torch.tensor([[[1.0], [4.0]]]), torch.tensor([3.0, 3.5], dtype=torch.float64)
    assert NUMBER.label_loss(logits, labels).tolist() == [[4.0, 0.25]]


@pytest.mark.parametrize(("space", "labels"), [(SENTIMENT, torch.tensor([1, 0])), (NUMBER, torch.tensor([1.0, 2.0])),
                                               (TOPICS, torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]))])
def test_label_loss_is_finite_and_wide_for_half_precision_and_great_scores(space, labels):
    logits = torch.full((2, space.size), 1e4, dtype=torch.bfloat16)
    logits[:, 0] = -1e4
    loss = space.label_loss(logits.requires_grad_(), labels)
    loss.sum().backward()
    assert loss.dtype == torch.float32 and loss.isfinite().all() and logits.grad.isfinite().all()


@pytest.mark.parametrize(("value", "encoded"), [
    (["art", "sport"], [1.0, 0.0, 1.0]),
    (("law",), [0.0, 1.0, 0.0]),
    ([2, 0], [1.0, 0.0, 1.0]),
    (np.array([1]), [0.0, 1.0, 0.0]),
    ("art, law", [1.0, 1.0, 0.0]),
    ("art|law", [1.0, 1.0, 0.0]),
    ("sport |", [0.0, 0.0, 1.0]),
    ("[]", [0.0, 0.0, 0.0]),
    ("['art', 'sport']", [1.0, 0.0, 1.0]),
    ('["law"]', [0.0, 1.0, 0.0]),
    ("sport", [0.0, 0.0, 1.0]),
    (1, [0.0, 1.0, 0.0]),
    ([], [0.0, 0.0, 0.0]),
])
def test_several_labels_become_zeros_and_ones(value, encoded):
    assert TOPICS.encode(value) == encoded


def test_a_name_with_a_comma_is_one_label():
    assert MultilabelSpace(["art, law", "law"]).encode("art, law") == [1.0, 0.0]


def test_names_of_several_labels_are_collected_from_all_rows():
    assert MultilabelSpace.label_names([["law", "art"], "sport,art", []]) == ("art", "law", "sport")
    assert MultilabelSpace.label_names([[0, 2], [2], [3]]) == ("0", "1", "2", "3")
    assert MultilabelSpace.label_names(["law, civil|art", "[]"]) == ("art", "law, civil")


def test_an_unknown_one_of_several_labels_is_refused():
    with pytest.raises(ValueError, match=r"^label 'music' is none of \['art', 'law', 'sport'\]$"):
        TOPICS.encode("art,music")


@pytest.mark.parametrize(("value", "encoded"), [(3, 3.0), ("2.5", 2.5), (np.float32(0.5), 0.5)])
def test_a_number_is_encoded_as_itself(value, encoded):
    assert NUMBER.encode(value) == encoded
    assert RegressionSpace.label_names([value]) == ("score",)


@pytest.mark.parametrize("value", ["high", None, math.nan, math.inf])
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(ValueError) as error:
        NUMBER.encode(value)
    assert str(error.value) == f"label {value!r} is not a finite number"


def test_answers_in_numbers_and_in_words():
    assert SENTIMENT.predictions(torch.tensor([[[0.0, 1.0], [2.0, 1.0]]])).tolist() == [[1, 0]]
    (answer,) = SENTIMENT.describe(torch.tensor([[0.0, math.log(3.0)]]))
    assert answer["label"] == "positive" and answer["score"] == pytest.approx(0.75)
    assert answer["scores"] == {"negative": pytest.approx(0.25), "positive": pytest.approx(0.75)}
    assert TOPICS.predictions(torch.tensor([[0.1, -0.1, 0.0]])).tolist() == [[1, 0, 0]]
    (answer,) = TOPICS.describe(torch.tensor([[math.log(3.0), -1.0, 0.0]]))
    assert answer["labels"] == ["art"] and answer["scores"]["art"] == pytest.approx(0.75)
    assert list(answer["scores"]) == ["art", "law", "sport"]
    assert NUMBER.predictions(torch.tensor([[[2.0], [3.0]]])).tolist() == [[2.0, 3.0]]
    assert NUMBER.describe(torch.tensor([[2.5]])) == [{"score": 2.5}]


def test_two_classes_are_scored_as_glue_scores_them():
    truth, answers = np.array([1, 1, 1, 0, 0, 0, 0, 1]), np.array([1, 1, 0, 0, 1, 0, 0, 1])
    # 3 hits, 1 false alarm, 1 miss, 3 correct rejections
    assert SENTIMENT.metrics(answers, truth) == {
        "accuracy": pytest.approx(6 / 8), "f1": pytest.approx(6 / 8),
        "matthews_correlation": pytest.approx((3 * 3 - 1 * 1) / 16)}


def test_more_classes_have_the_mean_f1():
    truth, answers = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])
    scores = ClassesSpace("abc").metrics(answers, truth)
    assert set(scores) == {"accuracy", "f1_macro", "matthews_correlation"}
    assert scores["f1_macro"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert scores["matthews_correlation"] == pytest.approx(sklearn_metrics.matthews_corrcoef(truth, answers))


def test_several_labels_are_scored_by_decision_by_label_and_by_row():
    truth, answers = np.array([[1, 0, 1], [0, 0, 1]], dtype=np.float32), np.array([[1, 0, 0], [0, 0, 1]])
    assert TOPICS.metrics(answers, truth) == {
        "f1_micro": pytest.approx(0.8), "f1_macro": pytest.approx((1 + 0 + 2 / 3) / 3), "accuracy": 0.5}


def test_numbers_are_scored_by_both_correlations_and_the_squared_difference():
    truth, answers = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 4.0, 9.0, 16.0])
    scores = NUMBER.metrics(answers, truth)
    assert scores == {"pearson": pytest.approx(np.corrcoef(truth, answers)[0, 1]), "spearmanr": pytest.approx(1.0),
                      "mse": pytest.approx(np.mean((truth - answers) ** 2))}


@pytest.mark.parametrize(("space", "answers", "truth", "name"), [
    (SENTIMENT, np.zeros(3), np.array([0, 1, 1]), "f1"),
    (SENTIMENT, np.zeros(3), np.array([0, 1, 1]), "matthews_correlation"),
    (SENTIMENT, np.zeros(3), np.zeros(3), "matthews_correlation"),
    (TOPICS, np.zeros((2, 3)), np.ones((2, 3)), "f1_macro"),
    (TOPICS, np.zeros((2, 3)), np.zeros((2, 3)), "f1_micro"),
    (NUMBER, np.ones(3), np.array([1.0, 2.0, 3.0]), "pearson"),
    (NUMBER, np.array([1.0, 2.0, 3.0]), np.ones(3), "spearmanr"),
    (NUMBER, np.array([1.0, math.nan, 3.0]), np.array([1.0, 2.0, 3.0]), "pearson"),
    (NUMBER, np.array([math.inf, math.inf, 3.0]), np.array([1.0, 2.0, 3.0]), "spearmanr"),
    (NUMBER, np.ones(1), np.ones(1), "pearson"),
])
def test_scores_without_meaning_are_zero_without_a_warning(space, answers, truth, name):
    assert space.metrics(answers, truth)[name] == 0.0


def test_numbers_that_are_not_finite_have_an_infinite_squared_difference():
    assert NUMBER.metrics(np.array([math.nan, 1.0]), np.array([1.0, 2.0]))["mse"] == math.inf


@pytest.mark.parametrize(("make", "rows"), [
    (Accuracy, [[1, 0, 1, 1], [1, 1, 1, 0]]),
    (partial(F1, average="binary"), [[1, 0, 1, 1], [1, 1, 1, 0]]),
    (partial(Accuracy, "multilabel"), [[[1, 0], [1, 1]], [[1, 0], [0, 1]]]),
    (MatthewsCorrelation, [[1, 0, 1, 1], [1, 1, 1, 0]]),
    (Correlations, [[1.0, 2.5, 3.0], [2.0, 1.0, 4.0]]),
    (MeanSquaredError, [[1.0, 2.5, 3.0], [2.0, 1.0, 4.0]]),
])
def test_a_metric_is_one_of_evaluate_for_rows_at_once_and_for_rows_that_are_added(make, rows):
    predictions, references = rows
    added = make()
    assert isinstance(added, evaluate.Metric)
    for begin in (0, 2):
        added.add_batch(predictions=predictions[begin:begin + 2], references=references[begin:begin + 2])
    assert added.compute() == make().compute(predictions=predictions, references=references)


def test_metrics_write_nothing_where_the_user_is(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert SENTIMENT.metrics(np.array([1, 0]), np.array([1, 0]))["accuracy"] == 1.0
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("space", [SENTIMENT, TOPICS, NUMBER], ids=lambda space: space.name)
def test_the_metric_that_picks_checkpoints_is_among_those_computed(space):
    shape = (4, 3) if space is TOPICS else (4,)
    truth = np.arange(math.prod(shape)).reshape(shape) % 2
    assert space.metrics(truth, truth)[space.primary_metric] == pytest.approx(1.0)


def test_the_names_that_hugging_face_models_keep():
    from transformers import BertConfig, BertForSequenceClassification
    for space, labels in ((SENTIMENT, torch.tensor([1, 0])), (TOPICS, torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])),
                          (NUMBER, torch.tensor([0.5, 2.0]))):
        config = BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                            intermediate_size=8, num_labels=space.size, problem_type=space.problem_type)
        answer = BertForSequenceClassification(config).eval()(input_ids=torch.tensor([[1, 2], [3, 4]]), labels=labels)
        expected = space.label_loss(answer.logits, labels).mean() / (3 if space is TOPICS else 1)
        torch.testing.assert_close(answer.loss, expected)
