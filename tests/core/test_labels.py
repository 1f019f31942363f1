from __future__ import annotations

import logging
import math
from collections import Counter
from pathlib import Path

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ukd_plugins.output_spaces.classes import ClassesSpace
from ukd_plugins.output_spaces.multilabel import MultilabelSpace
from ukd_plugins.output_spaces.regression import RegressionSpace

from ukd_core.errors import InputError
from ukd_core.output_space import OutputSpace
from ukd_core.run.data import RawData, TaskData, encode_data, read_data
from ukd_core.run.labels import clean_labels, stratified


def encode(labels: list, space: type[OutputSpace] = ClassesSpace, *, declared: tuple[str, ...] | None = None,
           validation: list | None = None, **options) -> TaskData:
    parts = {"train": labels, **({"validation": validation} if validation else {})}
    splits = {split: datasets.Dataset.from_dict({"text": ["t"] * len(part), "label": part})
              for split, part in parts.items()}
    return encode_data(RawData(splits, declared, pairs=False), space, **options)


def refusal(labels: list, space: type[OutputSpace] = ClassesSpace, **options) -> str:
    with pytest.raises(InputError) as caught:
        encode(labels, space, **options)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "task"
    made.mkdir()
    return made


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def read(source: Path, **options) -> RawData:
    return read_data(str(source), cache=source.parent / "cache", **options)


def many(rows: int) -> str:
    return "text,label\n" + "".join(f"text {row},{'abc'[row % 3]}\n" for row in range(rows))


# A label column


@pytest.mark.parametrize(("column", "expected"), [
    (["a", " b ", "", None], ["a", "b", None, None]),
    (["1", "0", ""], [1, 0, None]),
    (["1.5", "-2", "nan"], [1.5, -2.0, None]),
    (["1", "nan", "0"], [1, None, 0]),
    (["nan", "pasta"], ["nan", "pasta"]),
    (["01", "10"], ["01", "10"]),
    (["1_0", "2"], ["1_0", "2"]),
    (["infinity", "1"], ["infinity", "1"]),
    ([1.0, math.nan, 0.0], [1, None, 0]),
    ([1.0, 0.5], [1.0, 0.5]),
    ([-1, -1], [None, None]),
    ([2, -1, 0], [2, None, 0]),
    ([-1.0, -1.0], [None, None]),
    ([-1.0, 0.5], [-1.0, 0.5]),
    ([True, False, None], ["True", "False", None]),
    ([["a", "b"], [], None], [["a", "b"], [], None]),
    ([None, None], [None, None]),
])
def test_labels_of_a_column(column, expected):
    cleaned = clean_labels(column)
    assert cleaned == expected or str(cleaned) == str(expected)
    assert [type(label) for label in cleaned] == [type(label) for label in expected]


def test_labels_of_a_declared_column_are_names():
    assert clean_labels([1, -1, 0, None], ["no", "yes"]) == ["yes", None, "no", None]
    assert clean_labels([[0, 1], []], ["no", "yes"]) == [["no", "yes"], []]


# Who names the labels


def test_values_name_the_labels_where_nobody_does():
    data = encode(["b", "a", None])
    assert data.space.labels == ("a", "b")
    assert data.labels("train").tolist() == [1, 0, -100]


def test_declared_classes_win_over_values():
    assert encode(["b", "a"], declared=("b", "a", "c")).space.labels == ("b", "a", "c")


def test_the_teacher_wins_over_declared_classes():
    data = encode(["entailment", "neutral", "contradiction"], declared=("entailment", "neutral", "contradiction"),
                  teacher_labels=("CONTRADICTION", "NEUTRAL", "ENTAILMENT"))
    assert data.space.labels == ("CONTRADICTION", "NEUTRAL", "ENTAILMENT")
    assert data.labels("train").tolist() == [2, 1, 0]


def test_the_user_wins_over_the_teacher():
    data = encode(["good", "bad"], label_names=("bad", "good"), teacher_labels=("NEG", "POS"))
    assert data.space.labels == ("bad", "good")
    assert data.labels("train").tolist() == [1, 0]


def test_a_teacher_may_know_more_classes_than_the_data_shows():
    data = encode(["b", "d"], teacher_labels=("d", "c", "b", "a"))
    assert data.labels("train").tolist() == [2, 0]


def test_letter_case_counts_where_two_names_differ_in_nothing_else():
    assert encode(["a", "A"]).labels("train").tolist() == [1, 0]
    assert refusal(["Ab", "ab"], teacher_labels=("Ab", "aB")).startswith(
        "data, split 'train', row 1: label 'ab' is none of ['Ab', 'aB'].")


def test_whole_numbers_are_positions_in_the_teachers_labels(caplog):
    with caplog.at_level(logging.INFO):
        data = encode([1, 0, 2], teacher_labels=("neg", "neu", "pos"))
    assert data.space.labels == ("neg", "neu", "pos")
    assert data.labels("train").tolist() == [1, 0, 2]
    assert caplog.messages == ["data: whole numbers are read as positions in the teacher's labels: neg, neu, pos"]


def test_whole_numbers_are_positions_of_a_nameless_teacher():
    data = encode([1, 0], teacher_labels=("LABEL_0", "LABEL_1"))
    assert data.space.labels == ("LABEL_0", "LABEL_1")
    assert data.labels("train").tolist() == [1, 0]


def test_declared_classes_name_the_positions_of_a_nameless_teacher():
    data = encode(["no", "yes"], declared=("yes", "no"), teacher_labels=("LABEL_0", "LABEL_1"))
    assert data.space.labels == ("yes", "no")
    assert data.labels("train").tolist() == [1, 0]


def test_the_user_names_the_positions_of_a_nameless_teacher():
    data = encode(["no", "yes"], label_names=("yes", "no"), teacher_labels=("LABEL_0", "LABEL_1"))
    assert data.labels("train").tolist() == [1, 0]


def test_a_regression_has_no_class_names():
    data = encode([0.5, 3], RegressionSpace, teacher_labels=("LABEL_0",))
    assert data.space.labels == ("score",)
    assert data.labels("train").tolist() == [0.5, 3.0]


def test_lists_are_matched_item_by_item():
    data = encode([["Spam", "urgent"], ["URGENT"]], MultilabelSpace, teacher_labels=("urgent", "spam"))
    assert data.labels("train").tolist() == [[1.0, 1.0], [1.0, 0.0]]


def test_names_come_from_another_split_where_training_rows_are_unlabelled():
    data = encode([None, None], validation=["b", "a"])
    assert data.space.labels == ("a", "b")
    assert data.labels("validation").tolist() == [1, 0]


# What becomes of labels


def test_encoded_scores_are_numbers_and_nan():
    labels = encode([2.5, None, 5.0], RegressionSpace).labels("train")
    assert labels.is_floating_point()
    assert labels.isnan().tolist() == [False, True, False]
    assert labels[[0, 2]].tolist() == [2.5, 5.0]


def test_encoded_lists_are_zeros_and_ones_and_nan():
    labels = encode([["x", "y"], [], None], MultilabelSpace).labels("train")
    assert labels[:2].tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert labels[2].isnan().all()


def test_a_teacher_makes_labels_unnecessary():
    data = encode([None, None], teacher_labels=("neg", "pos"))
    assert data.space.labels == ("neg", "pos")
    assert data.labels("train").tolist() == [-100, -100]


def test_no_label_and_no_teacher():
    assert refusal([None], label_names=("a", "b")) == (
        "data: no row has a label. Name the label column, or give a teacher that was trained on this task: "
        "it can label the rows.")


def test_training_rows_of_one_class():
    assert refusal(["x", "x", None], label_names=("x", "y"), validation=["y"]) == (
        "data: expected at least two classes in the training rows, got only 'x'. "
        "Check the label column, or keep more labels.")


def test_a_word_among_the_numbers_of_a_regression():
    assert refusal(["1.5", "high"], RegressionSpace) == (
        "data, split 'train', row 1: label 'high' is not a finite number. Correct it, or name another label column.")


# Names that contradict each other


REMEDY = "Correct it, or name all labels with --label-names, in the order of the teacher's classes if any."


def test_a_label_that_the_teacher_does_not_know():
    assert refusal(["pos", "negativ"], teacher_labels=("negative", "pos")) == (
        "data, split 'train', row 1: label 'negativ' is none of ['negative', 'pos']. "
        "Did you mean 'negative'? " + REMEDY)


def test_a_position_beyond_the_teachers_classes():
    assert refusal([0, 1, 2], teacher_labels=("LABEL_0", "LABEL_1")) == (
        "data, split 'train', row 2: label 2 is none of ['LABEL_0', 'LABEL_1']. " + REMEDY)


def test_a_number_is_no_position_where_the_names_are_other_numbers():
    assert refusal([5, 7], validation=[0]) == (
        "data, split 'validation', row 0: label 0 is none of ['5', '7']. " + REMEDY)


def test_a_decimal_among_classes_may_be_a_quantity():
    assert refusal([0.5, 1.5], validation=[2.5]) == (
        "data, split 'validation', row 0: label 2.5 is none of ['0.5', '1.5']. "
        "For quantities give --output-space regression. " + REMEDY)


def test_words_and_a_nameless_teacher():
    assert refusal(["yes", "no"], teacher_labels=("LABEL_0", "LABEL_1")) == (
        "data: the labels are words (no, yes) but the teacher only has positions (LABEL_0, LABEL_1). "
        "Give --label-names in the order of the teacher's classes.")


def test_the_teachers_names_in_another_order():
    assert refusal(["yes", "no"], label_names=("yes", "no"), teacher_labels=("No", "Yes")) == (
        "data: expected --label-names in the teacher's order (No, Yes), got yes, no. "
        "Leave --label-names out: the teacher's names are used.")


def test_another_number_of_names_than_the_teacher_has_classes():
    assert refusal(["yes", "no"], label_names=("yes", "no", "so"), teacher_labels=("No", "Yes")) == (
        "data: expected 2 labels, one for each class of the teacher (No, Yes), got 3 (yes, no, so). "
        "Choose a teacher of this task, or tune one here.")


def test_a_name_twice():
    assert refusal(["a", "b"], label_names=("a", "b", "a")) == (
        "data: the label name 'a' is given twice. Give each class a name of its own.")


def test_a_single_class():
    assert refusal(["a", "a"]) == "data: expected at least two classes, got 1 (a). Check the label column."


class Refusing(OutputSpace):
    name = problem_type = "refusing"
    missing = None
    label_names = classmethod(lambda cls, values: (_ for _ in ()).throw(ValueError("expected pairs.")))
    encode = is_labelled = label_loss = divergence = predictions = describe = metrics = lambda self, *_: None

    def __init__(self, labels):
        raise InputError("space", "expected other names") if labels == ("b",) else ValueError("expected two names.")


def test_values_and_names_that_the_space_refuses():
    assert refusal(["a"], Refusing) == ("data: the labels do not fit the output space 'refusing': expected pairs. "
                                        "Choose another output space or label column.")
    assert refusal(["a"], Refusing, label_names=["a"]) == (
        "data: the label names a do not fit the output space 'refusing': expected two names.")
    assert refusal(["a"], Refusing, label_names=["b"]) == "space: expected other names."


def test_a_long_list_of_names_is_cut():
    labels = tuple(f"LABEL_{index}" for index in range(30))
    assert ", LABEL_19, ... (30 in all))." in refusal(["yes", "no"], teacher_labels=labels)


# Choosing rows by label


@given(st.lists(st.sampled_from("aaabbc") | st.none(), max_size=60), st.integers(1, 70), st.integers(0, 3))
def test_stratified_shares(labels, count, seed):
    sizes = Counter(label for label in labels if label is not None)
    chosen = stratified(labels, count, seed)
    shares = Counter(labels[row] for row in chosen)
    total = sizes.total()
    assert chosen == sorted(set(chosen))
    assert None not in shares
    assert shares.total() == min(count, total)
    if count >= len(sizes):
        assert set(shares) == set(sizes)
    quotas = {label: min(count, total) * size / total for label, size in sizes.items()}
    if all(quota >= 1 for quota in quotas.values()):
        assert all(abs(shares[label] - quota) < 1 for label, quota in quotas.items())


@pytest.mark.parametrize(("sizes", "count", "expected"), [
    ((53, 24, 23), 10, (5, 3, 2)),  # quotas 5.3, 2.4, 2.3: the largest remainder takes the odd one
    ((97, 2, 1), 3, (1, 1, 1)),
    ((97, 2, 1), 10, (8, 1, 1)),
    ((97, 2, 1), 2, (2, 0, 0)),
    ((3, 2, 1), 9, (3, 2, 1)),
])
def test_stratified_shares_of_known_sizes(sizes, count, expected):
    labels = [label for label, size in zip("abc", sizes, strict=True) for _ in range(size)]
    shares = Counter(labels[row] for row in stratified(labels, count, 0))
    assert tuple(shares[label] for label in "abc") == expected


@given(st.lists(st.sampled_from("aaabbc"), min_size=1, max_size=40), st.integers(1, 50))
def test_stratified_rows_spare_one_of_each_label(labels, count):
    chosen = stratified(labels, count, 0, spare_one=True)
    rest = [label for row, label in enumerate(labels) if row not in chosen]
    assert set(rest) == set(labels)
    assert len(chosen) == min(count, len(labels) - len(set(labels)))


def test_scores_are_one_stratum():
    labels = [0.5, *[1.0] * 50, *[2.0] * 49]
    assert len(stratified(labels, 10, 0)) == 10
    assert sum(0 in stratified(labels, 10, seed) for seed in range(20)) < 10


def test_a_choice_follows_its_seed():
    labels = ["a", "b"] * 50
    assert stratified(labels, 20, 1) == stratified(labels, 20, 1) != stratified(labels, 20, 2)


# Validation split and samples


def test_a_validation_split_is_taken_from_labelled_rows_in_proportion(tmp_path):
    rows = [f"{row},{'a' if row < 60 else 'b' if row < 90 else ''}" for row in range(120)]
    file = write(tmp_path / "rows.csv", "text,label\n" + "\n".join(rows) + "\n")
    raw = read(file, validation_fraction=0.2)
    held = raw.splits["validation"]
    assert Counter(held["label"]) == {"a": 12, "b": 6}
    train = raw.splits["train"]
    assert sorted([*map(int, held["text"]), *map(int, train["text"])]) == list(range(120))
    for split in (held, train):
        assert list(map(int, split["text"])) == sorted(map(int, split["text"]))


def test_the_validation_split_leaves_each_class_a_training_row(tmp_path):
    file = write(tmp_path / "rows.csv", "text,label\na,x\nb,x\nc,x\nd,y\n")
    raw = read(file, validation_fraction=0.9)
    assert sorted(raw.splits["train"]["label"]) == ["x", "y"]
    assert raw.splits["validation"]["label"][:] == ["x", "x"]


def test_no_validation_split_where_none_is_wanted_or_there_is_one_or_nothing_is_labelled(folder):
    write(folder / "train.csv", many(20))
    assert list(read(folder, validation_fraction=0).splits) == ["train"]
    write(folder / "test.csv", many(5))
    assert set(read(folder).splits) == {"train", "validation", "test"}
    assert len(read(folder).splits["test"]) == 5
    write(folder / "valid.csv", many(4))
    raw = read(folder)
    assert (len(raw.splits["train"]), len(raw.splits["validation"])) == (20, 4)
    (folder / "valid.csv").unlink()
    write(folder / "train.csv", "text\na\nb\n")
    write(folder / "test.csv", "text\na\nb\n")
    assert list(read(folder).splits) == ["train", "test"]


def test_samples_keep_the_order_and_follow_the_seed(folder):
    write(folder / "train.csv", many(60))
    write(folder / "validation.csv", many(30))
    write(folder / "test.csv", many(30))

    def sample(seed: int) -> list[list[int]]:
        raw = read(folder, max_train_rows=20, max_eval_rows=10, seed=seed)
        return [[int(text.split()[1]) for text in raw.splits[split]["text"]]
                for split in ("train", "validation", "test")]

    first = sample(1)
    assert [len(rows) for rows in first] == [20, 10, 10]
    assert all(rows == sorted(set(rows)) for rows in first)
    assert sample(1) == first != sample(2)


def test_max_labels_keeps_every_row_and_so_many_labels(folder):
    write(folder / "train.csv", "text,label\n" + "".join(f"t{row},{'ab'[row % 10 == 0]}\n" for row in range(100)))
    raw = read(folder, max_labels=20, validation_fraction=0)
    labels = raw.splits["train"]["label"][:]
    assert len(labels) == 100
    assert Counter(labels) == {"a": 18, "b": 2, None: 80}
    assert raw.splits["train"]["text"][:] == [f"t{row}" for row in range(100)]
    assert all(label in (None, "ab"[row % 10 == 0]) for row, label in enumerate(labels))
