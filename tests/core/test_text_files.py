"""Files of text are looked at before a reader in C++ is given them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from ukd_core.errors import InputError
from ukd_core.run.data import read_data

ROWS = "".join(json.dumps({"text": f"row {number}", "label": number % 2}) + "\n" for number in range(4))


def refusal(path: Path, content: str | bytes) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError) as caught:
        read_data(str(path), cache=path.parent / "cache")
    return str(caught.value).removeprefix(f"data '{path}': ")


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.jsonl"])
def test_nul_bytes(tmp_path: Path, name: str):
    """The reader of CSV cuts a field there, without a word."""
    assert refusal(tmp_path / name, "text,label\na,b\nc\0c,d\n") == (
        "expected text, got a NUL byte in line 3. Save the file as UTF-8 text without such bytes.")


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.jsonl"])
def test_bytes_of_another_encoding(tmp_path: Path, name: str):
    """The reader of JSON keeps them until somebody looks at the row."""
    assert refusal(tmp_path / name, ROWS.encode() + "café\n".encode("latin-1")) == (
        "expected UTF-8 text, got the byte 0xe9 in line 5. Save the file as UTF-8.")


@pytest.mark.parametrize("line", ["null", "null {}", "  null", "[null, {}]", "\ufeffnull"])
def test_a_row_that_is_null(tmp_path: Path, line: str):
    """The reader of JSON crashes where it comes first."""
    assert refusal(tmp_path / "rows.jsonl", f"{line}\n{ROWS}") == (
        "expected an object in line 1, got null. Write one flat object a line.")


def test_an_array_of_lines_that_begins_with_null(tmp_path: Path):
    assert refusal(tmp_path / "rows.json", "[\n null,\n {}]").startswith("expected an object in line 2, got null.")


def test_null_within_an_array_of_lines_is_no_row(tmp_path: Path):
    rows = [{"text": f"row {number}", "label": number % 2, "more": None} for number in range(8)]
    (tmp_path / "rows.json").write_text(json.dumps(rows, indent=0).replace(": null", ":\nnull"))
    assert len(read_data(str(tmp_path / "rows.json"), cache=tmp_path / "cache").splits["train"]) == 7


@pytest.mark.parametrize("deep", ["[" * 65 + "]" * 65, '{"a":' * 65 + "1" + "}" * 65])
def test_json_that_is_nested_too_deep(tmp_path: Path, deep: str):
    """The reader of JSON crashes where it is nested some ten thousand times."""
    assert refusal(tmp_path / "rows.jsonl", ROWS + deep + "\n") == (
        "expected JSON nested at most 64 times, got more in line 5. Write one flat object a line.")


@pytest.mark.parametrize("deep", ["[\n" * 65, '{"a":\n' * 65])
def test_json_that_is_nested_too_deep_over_lines(tmp_path: Path, deep: str):
    """The reader of JSON does not end within minutes."""
    assert refusal(tmp_path / "rows.jsonl", deep) == (
        "expected JSON nested at most 64 times, got more in line 65. Write one flat object a line.")


def test_a_long_text_that_does_not_end(tmp_path: Path):
    """Looked at once: to try it again from each quote in it would take hours."""
    start = time.process_time()
    assert "expected a readable jsonl file" in refusal(tmp_path / "rows.jsonl", ROWS + "[" * 60 + '"' + '\\"' * 300_000)
    assert time.process_time() - start < 10


def test_brackets_in_a_text_are_not_nested(tmp_path: Path):
    row = json.dumps({"text": "[" * 100 + '"\\"{', "label": 1})
    (tmp_path / "rows.jsonl").write_text(ROWS + row + "\n")
    assert len(read_data(str(tmp_path / "rows.jsonl"), cache=tmp_path / "cache").splits["train"]) == 4


def test_a_folder_where_a_file_should_be(tmp_path: Path):
    (tmp_path / "data" / "train.csv").mkdir(parents=True)
    with pytest.raises(InputError) as caught:
        read_data(str(tmp_path / "data"))
    assert str(caught.value) == (f"data '{tmp_path / 'data' / 'train.csv'}': expected a file, got something else. "
                                 "Put a file of rows there.")


def test_a_column_without_a_name(tmp_path: Path):
    """As pandas writes its row numbers."""
    (tmp_path / "rows.csv").write_text(",text,label,\n0,oil,a,\n1,gas,b,\n2,oil,a,\n3,gas,b,\n")
    splits = read_data(str(tmp_path / "rows.csv"), cache=tmp_path / "cache").splits
    assert sorted([*splits["train"]["text"], *splits["validation"]["text"]]) == ["gas", "gas", "oil", "oil"]


@pytest.mark.parametrize(("label", "text"), [
    ({"a": 1}, "expected a word, a number or a list of them, got {'a': 1}"),
    ([["a"]], "expected words or numbers in a list, got [['a']]"),
])
def test_labels_that_are_no_labels(tmp_path: Path, label: object, text: str):
    rows = "".join(json.dumps({"text": "oil", "label": label}) + "\n" for _ in range(4))
    assert refusal(tmp_path / "rows.jsonl", rows) == (
        f"split 'train' has a label that is not usable: {text}. Name another label column.")


def test_lists_and_single_labels(tmp_path: Path):
    rows = "".join(json.dumps({"text": "oil", "label": label}) + "\n" for label in (["a"], "b", 3))
    assert refusal(tmp_path / "rows.jsonl", rows) == (
        "split 'train' has a label that is not usable: expected lists in all rows or in none, got both. "
        "Name another label column.")


def test_whole_numbers_that_are_too_long_are_names(tmp_path: Path):
    """As floats some of them would be one number."""
    names = ["9007199254740992000001", "9007199254740992000002"]
    (tmp_path / "rows.csv").write_text("text,label\n" + "".join(f"oil,{name}\n" for name in names * 3))
    raw = read_data(str(tmp_path / "rows.csv"), cache=tmp_path / "cache")
    assert sorted(set(raw.seen)) == names
