from __future__ import annotations

import logging
import warnings
from pathlib import Path

import datasets
import pytest
from ukd_plugins.output_spaces.classes import ClassesSpace

from ukd_core.errors import InputError
from ukd_core.run.data import RawData, encode_data, read_data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "task"
    made.mkdir()
    return made


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


def read(source: Path | str, **options) -> RawData:
    cache = Path(source).parent / "cache" if isinstance(source, Path) else None
    return read_data(str(source), cache=cache, **options)


def refusal(source: Path | str, **options) -> str:
    with pytest.raises(InputError) as caught:
        read(source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def many(rows: int) -> str:
    return "text,label\n" + "".join(f"text {row},{'abc'[row % 3]}\n" for row in range(rows))


# Formats


@pytest.mark.parametrize(("name", "text"), [
    ("train.csv", 'text,label\n"one, two",pos\n"say ""hi""",neg\n'),
    ("train.tsv", 'text\tlabel\n"one, two"\tpos\n"say ""hi"""\tneg\n'),
    ("train.jsonl", '{"text": "one, two", "label": "pos"}\n{"text": "say \\"hi\\"", "label": "neg"}\n'),
    ("train.json", '[{"text": "one, two", "label": "pos"}, {"text": "say \\"hi\\"", "label": "neg"}]'),
    ("Train.CSV", '\ufeffText,Label\r\n"one, two",pos\r\n"say ""hi""",neg\r\n'),
])
def test_each_text_format_gives_the_same_rows(folder, name, text):
    write(folder / name, text)
    train = read(folder, validation_fraction=0).splits["train"]
    assert train[:] == {"text": ["one, two", 'say "hi"'], "label": ["pos", "neg"]}


def test_parquet_with_declared_classes_gives_names(folder):
    features = datasets.Features({"sentence": datasets.Value("string"),
                                  "label": datasets.ClassLabel(names=["no", "yes"])})
    table = datasets.Dataset.from_dict({"sentence": ["a", "b", "c"], "label": [1, 0, -1]}, features=features)
    table.to_parquet(folder / "train.parquet")
    raw = read(folder, validation_fraction=0)
    assert raw.splits["train"]["label"][:] == ["yes", "no", None]
    assert raw.label_names == ("no", "yes")


def test_all_split_names_of_a_folder_are_read(folder):
    write(folder / "train.csv", many(6))
    write(folder / "dev.jsonl", '{"text": "d", "label": "a"}\n')
    write(folder / "test.tsv", "text\tlabel\nt\tb\n")
    write(folder / "unlabeled.csv", "text,label\nu,c\n")
    write(folder / "notes.md", "not data")
    raw = read(folder)
    assert list(raw.splits) == ["train", "validation", "test"]
    assert raw.splits["validation"]["text"][:] == ["d"]
    assert raw.splits["test"]["label"][:] == ["b"]
    assert raw.splits["train"][-1] == {"text": "u", "label": None}


def test_unquoted_tab_files_keep_their_quotes(folder):
    write(folder / "train.tsv", 'text\tlabel\n"Yes," he said\t1\n" open quote\t0\nplain "x"\t1\n')
    assert read(folder, validation_fraction=0).splits["train"]["text"][:] == [
        '"Yes," he said', '" open quote', 'plain "x"']


def test_texts_stand_as_written_and_missing_ones_are_empty(folder):
    write(folder / "train.csv", "text,label\nNone,a\n007,b\n1e5,a\n,b\n")
    assert read(folder, validation_fraction=0).splits["train"]["text"][:] == ["None", "007", "1e5", ""]
    (folder / "train.csv").unlink()
    write(folder / "train.jsonl", '{"text": null, "label": 0}\n{"text": "x", "label": 1}\n')
    assert read(folder, validation_fraction=0).splits["train"]["text"][:] == ["", "x"]


def test_numbers_as_texts_become_text(folder):
    write(folder / "train.jsonl", '{"text": 7, "label": 0}\n{"text": 8, "label": 1}\n')
    assert read(folder, validation_fraction=0).splits["train"]["text"][:] == ["7", "8"]


def test_a_changed_file_is_read_anew(folder):
    write(folder / "train.csv", "text,label\na,x\nb,y\n")
    read(folder)
    write(folder / "train.csv", "text,label\nc,x\nd,y\n")
    assert read(folder, validation_fraction=0).splits["train"]["text"][:] == ["c", "d"]


# Columns


@pytest.mark.parametrize(("columns", "expected"), [
    ("sentence1,sentence2", ("sentence1", "sentence2")),
    ("question,sentence", ("question", "sentence")),
    ("question1,question2", ("question1", "question2")),
    ("premise,hypothesis", ("premise", "hypothesis")),
    ("question,answer", ("question", "answer")),
    ("text_pair,text", ("text", "text_pair")),
    ("idx,sentence", ("sentence",)),
    ("idx,Text", ("Text",)),
])
def test_text_columns_are_found_by_name(folder, columns, expected):
    write(folder / "train.csv", f"{columns},label\n{columns},x\n{columns},y\n")
    raw = read(folder, validation_fraction=0)
    row = raw.splits["train"][0]
    assert tuple(row[key] for key in ("text", "pair") if key in row) == expected
    assert raw.pairs == (len(expected) == 2)


def test_columns_can_be_named(folder):
    write(folder / "train.csv", "text,label,body,Kind\nno,0,yes,a\nno,1,yes,b\n")
    raw = read(folder, text_columns=["body"], label_column="kind", validation_fraction=0)
    assert raw.splits["train"][:] == {"text": ["yes", "yes"], "label": ["a", "b"]}


@pytest.mark.parametrize("name", ["label", "Labels", "category", "CLASS", "target"])
def test_label_columns_are_found_by_name(folder, name):
    write(folder / "train.csv", f"text,{name}\na,x\nb,y\n")
    assert read(folder, validation_fraction=0).splits["train"]["label"][:] == ["x", "y"]


def test_the_first_label_name_in_the_documented_order_wins(folder):
    write(folder / "train.csv", "text,target,label\na,1,x\nb,2,y\n")
    assert read(folder, validation_fraction=0).splits["train"]["label"][:] == ["x", "y"]


def test_training_rows_without_a_label_column_are_unlabelled(folder):
    write(folder / "train.csv", "text\na\nb\n")
    write(folder / "validation.csv", "text,label\na,x\nb,y\n")
    data = encode_data(read(folder), ClassesSpace)
    assert data.labels("train").tolist() == [-100, -100]
    assert data.labels("validation").tolist() == [0, 1]


# Labels in the file


def test_missing_labels_of_every_kind(folder):
    write(folder / "train.csv", "text,label\na,1\nb,\nc,-1\nd,0\n")
    write(folder / "test.csv", "text,label\na,-1\nb,-1\n")
    raw = read(folder, validation_fraction=0)
    assert raw.splits["train"]["label"][:] == [1, None, None, 0]
    assert raw.splits["test"]["label"][:] == [None, None]


def test_minus_one_among_other_integers_is_announced(folder, caplog):
    write(folder / "train.csv", "text,label\na,1\nb,-1\nc,0\n")
    with caplog.at_level(logging.WARNING):
        read(folder, validation_fraction=0)
    assert caplog.messages == [f"data '{folder}': 1 rows of split 'train' have the label -1 and count as unlabelled; "
                               "if -1 is a class, name it with a word"]


# Encoding


def test_a_file_with_pairs_is_encoded(folder):
    write(folder / "train.csv", "sentence1,sentence2,label\na,b,yes\nc,d,no\ne,f,\n")
    write(folder / "validation.csv", "sentence1,sentence2,label\na,b,YES\n")
    data = encode_data(read(folder), ClassesSpace)
    assert data.space == ClassesSpace(["no", "yes"])
    assert data.splits["train"].column_names == ["text", "pair"]
    assert data.labels("train").tolist() == [1, 0, -100]
    assert data.labels("validation").tolist() == [1]
    assert list(data.texts()) == ["a", "c", "e", "b", "d", "f"]


def test_texts_of_single_texts(folder):
    write(folder / "train.csv", many(3))
    assert encode_data(read(folder, validation_fraction=0), ClassesSpace).texts()[:] == ["text 0", "text 1", "text 2"]


def test_an_unknown_label_is_named_with_its_file_and_row(folder):
    write(folder / "train.csv", many(6))
    write(folder / "test.csv", "text,label\na,a\nb,\nc,maybe\n")
    with pytest.raises(InputError) as caught:
        encode_data(read(folder), ClassesSpace)
    assert str(caught.value) == (
        f"data '{folder}', split 'test', row 2: label 'maybe' is none of ['a', 'b', 'c']. "
        "Correct it, or name all labels with --label-names, in the order of the teacher's classes if any.")


# Refusals


def test_a_missing_file_offers_the_nearest(folder):
    write(folder / "train.csv", many(3))
    assert refusal(folder / "trian.csv") == (
        f"data '{folder}/trian.csv': there is no such file or folder. Did you mean 'train.csv'? Available: train.csv. "
        "Hub names are written org/name.")


def test_a_missing_folder(folder):
    assert refusal(folder / "a" / "b.csv") == (
        f"data '{folder}/a/b.csv': there is no such file or folder. There is no folder '{folder}/a' either.")


def test_what_lies_in_a_folder_that_exists_is_no_hub_name(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert refusal("task/sst2") == ("data 'task/sst2': there is no such file or folder. Available: none. "
                                    "Hub names are written org/name.")


def test_a_folder_without_training_rows(folder):
    write(folder / "trainset.csv", many(3))
    assert refusal(folder) == (f"data '{folder}': expected a file train with one of the endings .csv, .tsv, .jsonl, "
                               ".json, .parquet, got trainset.csv. Rename the training file.")


def test_two_files_for_one_split(folder):
    for name in ("train.csv", "dev.csv", "validation.csv"):
        write(folder / name, many(3))
    assert refusal(folder) == (f"data '{folder}': expected one file for split 'validation', got dev.csv and "
                               "validation.csv. Keep one of them.")


def test_an_unknown_ending(folder):
    file = write(folder / "rows.xlsx", "x")
    assert refusal(file) == (f"data '{file}': expected a file ending in .csv, .tsv, .jsonl, .json, .parquet, "
                             "got 'rows.xlsx'.")


@pytest.mark.parametrize("text", ["text,label\n", ""])
@pytest.mark.parametrize("name", ["train.csv", "test.csv"])
def test_a_split_without_rows(folder, name, text):
    write(folder / "train.csv", many(3))
    file = write(folder / name, text)
    assert refusal(folder) == (f"data '{file}': split '{file.stem}' has no rows. Remove the file, or put rows into it.")


def test_an_empty_json_file(folder):
    file = write(folder / "train.jsonl", "")
    assert refusal(folder) == f"data '{file}': split 'train' has no rows. Remove the file, or put rows into it."


def test_a_parquet_file_without_rows(folder):
    datasets.Dataset.from_dict({"text": [], "label": []}).to_parquet(folder / "train.parquet")
    assert refusal(folder).endswith("split 'train' has no rows. Remove the file, or put rows into it.")


@pytest.mark.parametrize(("name", "text", "reason"), [
    ("train.csv", 'text,label\na,"x\nb,y\n', "csv file, got an error: Error tokenizing data"),
    ("train.csv", "text,label\na,x\nb, c,y\n", "csv file, got an error: Error tokenizing data"),
    ("train.csv", "text,label\na, b,x\nb, c,y\n", "csv file, got an error: Length of header or names does not match"),
    ("train.jsonl", '{"text": "a", "label": 0}\n{"text": \n', "jsonl file, got an error: JSON parse error"),
    ("train.json", "[1, 2", "json file, got an error: "),
    ("train.parquet", "no parquet", "parquet file, got an error: Parquet magic bytes not found in footer"),
])
def test_a_broken_file_is_named_with_the_reason(folder, name, text, reason, caplog, capfd):
    file = write(folder / name, text)
    message = refusal(folder)
    assert message.startswith(f"data '{file}': expected a readable {reason}")
    assert not caplog.messages
    assert capfd.readouterr() == ("", "")


def test_surplus_fields_are_refused_even_where_warnings_are_not_shown(folder):
    write(folder / "train.csv", "text,label\na, b,x\nb, c,y\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "Length of header or names does not match" in refusal(folder)


def test_bytes_that_are_no_text(folder):
    (folder / "train.csv").write_bytes("text,label\ncafé,x\n".encode("latin-1"))
    assert refusal(folder) == (f"data '{folder}/train.csv': expected UTF-8 text, got the byte 0xe9 in line 2. "
                               "Save the file as UTF-8.")


def test_a_column_twice(folder):
    file = write(folder / "train.csv", "text,label,text\na,b,c\n")
    assert refusal(folder) == f"data '{file}': the column 'text' is there twice. Give each column a name of its own."


def test_no_text_column(folder):
    write(folder / "train.csv", "id,label\n1,a\n")
    assert refusal(folder) == (f"data '{folder}': expected a text column (text, sentence, or a pair such as sentence1 "
                               "and sentence2), got the columns id, label. Name one or two with --text-columns.")


@pytest.mark.parametrize("option", [{"text_columns": ["txt"]}, {"label_column": "txt"}])
def test_a_named_column_that_is_not_there(folder, option):
    write(folder / "train.csv", many(3))
    assert refusal(folder, **option) == (f"data '{folder}': split 'train' has no column 'txt'. Did you mean 'text'? "
                                         "Available: label, text.")


def test_another_split_without_the_text_column(folder):
    write(folder / "train.csv", many(3))
    write(folder / "test.csv", "sentence,label\na,a\n")
    assert refusal(folder) == f"data '{folder}': split 'test' has no column 'text'. Available: label, sentence."


def test_one_column_for_text_and_label(folder):
    write(folder / "train.csv", many(3))
    assert refusal(folder, label_column="text") == (
        f"data '{folder}': the column 'text' cannot be both text and label. Name another column.")


def test_lists_are_no_texts(folder):
    write(folder / "train.jsonl", '{"text": ["a", "b"], "label": 1}\n')
    assert refusal(folder) == (f"data '{folder}': expected text in column 'text', got a list in row 0 of split "
                               "'train'. Name a column of texts with --text-columns.")


@pytest.mark.parametrize(("option", "problem"), [
    ({"text_columns": []}, "expected one text column, or two for pairs, got 0."),
    ({"text_columns": ["a", "b", "c"]}, "expected one text column, or two for pairs, got 3."),
    ({"validation_fraction": 1.0}, "expected 0 ≤ validation_fraction < 1, got 1.0."),
    ({"max_labels": 0}, "expected max_labels of at least 1, got 0. Leave it out to keep everything."),
])
def test_options_out_of_range(folder, option, problem):
    assert refusal(folder, **option) == f"data '{folder}': {problem}"


def test_a_hub_name_without_a_network(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    message = refusal("no-such-organisation/no-such-data:config")
    assert message.startswith("data 'no-such-organisation/no-such-data:config': there is no such file or folder, and "
                              "the hub gave nothing: ")
    assert message.endswith("Check the name and the network, or give a folder with train and validation files.")
    assert capfd.readouterr() == ("", "")


def test_a_hub_data_set(monkeypatch, tmp_path):
    # The hub is replaced at the library's own door; what it would give is a DatasetDict.
    asked = []

    def load(name: str, config: str | None, cache_dir: str | None) -> datasets.DatasetDict:
        asked.append((name, config, cache_dir))
        part = {"premise": ["p", "q"], "hypothesis": ["h", "i"], "label": [1, 0]}
        made = {name: datasets.Dataset.from_dict(part) for name in ("train", "validation_mismatched", "unsupervised")}
        for name in ("validation_matched", "validation", "dev"):
            made[name] = datasets.Dataset.from_dict({**part, "premise": [name, name]})
        return datasets.DatasetDict(made)

    monkeypatch.setattr(datasets, "load_dataset", load)
    raw = read_data("nyu-mll/glue:mnli", cache=tmp_path)
    assert asked == [("nyu-mll/glue", "mnli", str(tmp_path / "datasets"))]
    assert {split: table["label"][:] for split, table in raw.splits.items()} == {
        "train": [1, 0, None, None], "validation": [1, 0]}
    assert raw.splits["validation"]["text"][:] == ["validation", "validation"]


def test_a_hub_data_set_without_training_rows(monkeypatch):
    part = datasets.DatasetDict({"holdout": datasets.Dataset.from_dict({"text": ["a"]})})
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: part)
    assert refusal("org/name") == "data 'org/name': expected a split 'train', got holdout."


def test_a_hub_split_without_rows(monkeypatch):
    parts = {"train": {"text": ["a"], "label": [0]}, "test": {"text": [], "label": []}}
    found = datasets.DatasetDict({split: datasets.Dataset.from_dict(part) for split, part in parts.items()})
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: found)
    assert refusal("org/name") == "data 'org/name': split 'test' has no rows. Remove the file, or put rows into it."


def test_a_sample_that_lacks_a_class_has_the_labels_of_the_task(folder: Path):
    rows = "text,label\n" + "".join(f"text {row},{2 + row % 2 if row else 1}\n" for row in range(400))
    (folder / "train.csv").write_text(rows)
    (folder / "validation.csv").write_text("text,label\none,1\ntwo,2\nthree,3\n")
    data = encode_data(read(folder, max_train_rows=20), ClassesSpace)
    assert data.space.labels == ("1", "2", "3")
    assert set(data.labels("train").tolist()) == {1, 2}
    assert data.labels("validation").tolist() == [0, 1, 2]
