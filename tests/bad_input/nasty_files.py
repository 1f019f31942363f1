"""Data files as they come: damaged, odd, of another encoding, or not files at all; each with how it has to end."""

from __future__ import annotations

import datetime
import decimal
import gzip
import json
import math
from dataclasses import dataclass
from functools import cache

import pyarrow as pa
from oracle import FIFO, FOLDER, LOOP, Case
from worlds import MODEL, Row, as_csv, as_jsonl, as_parquet, good_rows

Files = tuple[tuple[str, bytes | str], ...]
CHECK = ("--teacher", MODEL, "--student", MODEL, "--epochs=1", "--max-length=16", "--device=cpu",
         "--teacher-tuning=probe", "--cache={world}/cache")


@dataclass(frozen=True)
class Nasty:
    """Files, and what ``ukd check`` has to say of them."""

    name: str
    files: Files
    data: str
    """Which of the files, or a folder, is named as the data."""
    says: str
    """Where `right`, a piece of the table (blanks counted as one), else a piece of the line on standard error."""
    right: bool
    options: tuple[str, ...] = ()

    @property
    def case(self) -> Case:
        """The command that looks at it."""
        return Case("corpus", ("check", *CHECK, "--data", self.data, *self.options), self.files)


def read(name: str, content: bytes | str, says: str, *options: str) -> Nasty:
    """One file that can be read."""
    return Nasty(name, ((name, content),), name, says, True, options)


def refused(name: str, content: bytes | str, says: str, *options: str) -> Nasty:
    """One file that cannot."""
    return Nasty(name, ((name, content),), name, says, False, options)


def folder(name: str, says: str, right: bool, *options: str, **files: bytes | str) -> Nasty:
    """A folder of files, ``train_csv`` for train.csv."""
    return Nasty(name, tuple((f"{name}/{key.replace('_', '.')}", content) for key, content in files.items()), name,
                 says, right, options)


ROWS = good_rows()
CSV = as_csv(ROWS)
TEXTS = [str(row["text"]) for row in ROWS]
LABELS = [str(row["label"]) for row in ROWS]
LONG = ("oil" * 33 + " ") * 10_486
"""A megabyte."""
ALL = "train 22 22 0 validation 2 2 0"
"""The table of a file of which every row was read."""


def labelled(labels: list[object], texts: list[str] = TEXTS) -> list[Row]:
    """The good texts with other labels, over and over."""
    return [{"text": text, "label": labels[row % len(labels)]} for row, text in enumerate(texts)]


def parquet(**columns: object) -> bytes:
    """A Parquet file with the good columns and others."""
    return as_parquet({"text": TEXTS, "label": LABELS, **columns})


def texts_as(texts: list[str]) -> list[Row]:
    """Rows of other texts with labels in turn."""
    return [{"text": text, "label": LABELS[row % len(LABELS)]} for row, text in enumerate(texts)]


@cache
def corpus() -> tuple[Nasty, ...]:
    """All of them."""
    return (*encodings(), *tables(), *json_files(), *parquet_files(), *labels(), *texts(), *not_files(), *splits())


def encodings() -> tuple[Nasty, ...]:
    """Bytes that are UTF-8 or not."""
    accents = CSV.decode().replace("oil", "öl")
    return (
        read("bom.csv", b"\xef\xbb\xbf" + CSV, ALL),
        read("bom.jsonl", b"\xef\xbb\xbf" + as_jsonl(ROWS), ALL),
        refused("utf16.csv", CSV.decode().encode("utf-16"), "UTF-8"),
        refused("utf16-without-bom.csv", CSV.decode().encode("utf-16-le"), "NUL"),
        refused("utf16.jsonl", as_jsonl(ROWS).decode().encode("utf-16"), "UTF-8"),
        refused("latin1.csv", accents.encode("latin-1"), "UTF-8"),
        refused("latin1-late.csv", CSV * 3000 + accents.encode("latin-1"), "UTF-8"),
        refused("latin1.tsv", as_csv(ROWS, "\t") + "öl\tfood\n".encode("latin-1"), "UTF-8"),
        refused("latin1.jsonl", '{"text": "öl", "label": "food"}\n'.encode("latin-1"), "UTF-8"),
        refused("nul-bytes.csv", CSV.replace(b"oil", b"o\0l"), "NUL"),
        refused("nul-bytes.tsv", as_csv(ROWS, "\t").replace(b"oil", b"o\0l"), "NUL"),
        refused("all-nul.csv", b"\0" * 5000, "NUL"),
        read("nul-escaped.jsonl", as_jsonl(ROWS).replace(b"oil", b"o\\u0000l"), ALL),
        read("crlf.csv", CSV.replace(b"\n", b"\r\n"), ALL),
        read("cr.csv", CSV.replace(b"\n", b"\r"), ALL),
        read("crlf.jsonl", as_jsonl(ROWS).replace(b"\n", b"\r\n"), ALL),
        refused("cut-letter.csv", CSV + "öl".encode()[:1], "UTF-8"),
    )


def tables() -> tuple[Nasty, ...]:
    """CSV and TSV files."""
    return (
        refused("empty.csv", b"", "no rows"),
        refused("newline.csv", b"\n", "'newline.csv'"),
        refused("header-only.csv", b"text,label\n", "no rows"),
        refused("no-header.csv", CSV.partition(b"\n")[2], "expected a text column"),
        refused("ragged-long.csv", CSV + b"oil,food,more\n", "expected a readable csv file"),
        read("ragged-short.csv", CSV + b"oil\n", "train 23 22 1"),
        refused("open-quote.csv", CSV + b'"oil,food\n', "expected a readable csv file"),
        read("quotes.csv", CSV + b'"oil, ""and"" grain",food\n"two\nlines",other\n', "train 23 23 0"),
        read("bare-quotes.tsv", as_csv(ROWS, "\t") + b'"oil\tfood\n', "train 23 23 0"),
        refused("duplicate-columns.csv", CSV.replace(b"text,label", b"text,text"), "there twice"),
        read("empty-column-name.csv", CSV.replace(b"text,label", b"text,label,"), ALL),
        refused("semicolons.csv", CSV.replace(b",", b";"), "expected a text column"),
        read("blank-lines.csv", CSV.replace(b"\n", b"\n\n"), ALL),
        read("many-columns.csv", as_csv([{**row, **{f"c{n}": n for n in range(500)}} for row in ROWS]), ALL),
        read("long-line.csv", CSV + LONG.encode() + b",food\n", "train 23 23 0"),
        read("long-line.jsonl", as_jsonl([*ROWS, {"text": LONG, "label": "food"}]), "train 23 23 0"),
        read("upper.CSV", CSV, ALL),
        refused("data.csv.gz", gzip.compress(CSV), "expected a file ending in"),
        refused("gzipped.csv", gzip.compress(CSV), "got a gzip archive"),
        refused("data.xlsx", b"PK\x03\x04", "expected a file ending in"),
        refused("no-ending", CSV, "expected a file ending in"),
    )


def json_files() -> tuple[Nasty, ...]:
    """JSON lines and JSON arrays."""
    nested = [{"text": {"body": "oil"}, "label": "food"}, {"text": {"body": "gas"}, "label": "other"}]
    deep = b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b', "label": "food"}\n'
    return (
        read("array.json", json.dumps(ROWS).encode(), ALL),
        read("array.jsonl", json.dumps(ROWS).encode(), ALL),
        read("lines.json", as_jsonl(ROWS), ALL),
        refused("nested.jsonl", as_jsonl(nested), "expected text in column 'text'"),
        refused("nested-deep.jsonl", deep, "'nested-deep.jsonl'"),
        refused("object.json", json.dumps({"rows": ROWS}).encode(), "'object.json'"),
        refused("scalar.json", b"3\n", "'scalar.json'"),
        refused("list-of-lists.json", b"[[1, 2], [3, 4]]", "'list-of-lists.json'"),
        refused("list-of-texts.json", b'["oil", "gas"]', "'list-of-texts.json'"),
        refused("cut-off.jsonl", as_jsonl(ROWS)[:-9], "expected a readable jsonl file"),
        refused("cut-off.json", json.dumps(ROWS).encode()[:-9], "expected a readable json file"),
        refused("commas.jsonl", as_jsonl(ROWS).replace(b"}\n", b"},\n"), "expected a readable jsonl file"),
        refused("words.jsonl", b"these are not\nJSON lines\n", "expected a readable jsonl file"),
        refused("empty.jsonl", b"", "no rows"),
        refused("empty.json", b"[]", "'empty.json'"),
        refused("empty-objects.jsonl", b"{}\n{}\n", "'empty-objects.jsonl'"),
        refused("null-rows.jsonl", b"null\nnull\n", "'null-rows.jsonl'"),
        read("keys-missing.jsonl", as_jsonl([*ROWS, {"text": "oil"}, {"label": "food"}]), "train 24 23 1"),
        refused("label-kinds.jsonl", as_jsonl(labelled([["a"], "b", 3])), "'label-kinds.jsonl'"),
        refused("text-kinds.jsonl", as_jsonl([*ROWS, {"text": ["oil"], "label": "food"}]), "'text-kinds.jsonl'"),
        refused("key-twice.jsonl", b'{"text": "oil", "text": "gas", "label": "a"}\n' * 9, "'key-twice.jsonl'"),
        refused("lone-surrogates.jsonl", as_jsonl(ROWS).replace(b"oil", b"\\ud800"), "'lone-surrogates.jsonl'"),
        read("emoji-escaped.jsonl", as_jsonl(ROWS).replace(b"oil", b"\\ud83d\\ude00"), ALL),
        refused("yaml.json", b"text: oil\nlabel: food\n", "expected a readable json file"),
    )


def parquet_files() -> tuple[Nasty, ...]:
    """Parquet files, and what only is called so."""
    good = parquet()
    nulls = as_parquet({"text": pa.array([*TEXTS[:-2], None, "gas"]), "label": pa.array([*LABELS[:-2], "food", None])})
    day = datetime.datetime(2026, 1, 31, 12)
    return (
        read("good.parquet", good, ALL),
        read("nulls.parquet", nulls, "train 22 21 1"),
        refused("all-null.parquet", as_parquet({"text": pa.nulls(9), "label": LABELS[:9]}), "is empty"),
        refused("all-null-text.parquet", as_parquet({"text": pa.nulls(9, pa.string()), "label": LABELS[:9]}),
                "is empty"),
        refused("half.parquet", good[: len(good) // 2], "expected a readable parquet file"),
        refused("no-foot.parquet", good[:-8], "expected a readable parquet file"),
        refused("csv.parquet", CSV, "expected a readable parquet file"),
        refused("empty.parquet", b"", "no rows"),
        refused("no-rows.parquet", as_parquet({"text": pa.array([], pa.string()), "label": pa.array([], pa.string())}),
                "no rows"),
        refused("no-columns.parquet", as_parquet({}), "'no-columns.parquet'"),
        read("bytes-text.parquet", parquet(text=pa.array([text.encode() for text in TEXTS], pa.binary())), ALL),
        refused("bytes-latin1.parquet", parquet(text=pa.array(["öl".encode("latin-1")] * 24, pa.binary())), "UTF-8"),
        read("bytes-label.parquet", parquet(label=pa.array([each.encode() for each in LABELS], pa.binary())),
             "food (10) (learns it) food"),
        read("large-text.parquet", parquet(text=pa.array(TEXTS, pa.large_string())), ALL),
        read("dictionary.parquet", parquet(label=pa.array(LABELS).dictionary_encode()), ALL),
        read("dictionary-text.parquet", parquet(text=pa.array(TEXTS).dictionary_encode()), ALL),
        read("numbers-as-text.parquet", parquet(text=list(range(24))), ALL),
        read("dates-as-text.parquet", parquet(text=[day] * 24), ALL),
        refused("struct-text.parquet", parquet(text=[{"a": "oil"}] * 24), "expected text in column 'text'"),
        refused("list-text.parquet", parquet(text=[["oil"]] * 24), "expected text in column 'text'"),
        read("date-labels.parquet", parquet(label=[day, day.replace(year=2027)] * 12), "2027-01-31"),
        read("decimal-labels.parquet", parquet(label=[decimal.Decimal("1.50"), decimal.Decimal("2")] * 12), "1.5"),
        refused("struct-labels.parquet", parquet(label=[{"a": 1}, {"a": 2}] * 12), "'struct-labels.parquet'"),
        refused("list-labels.parquet", parquet(label=[["a"], ["b", "c"]] * 12), "output space"),
        read("list-labels-multi.parquet", parquet(label=[["a"], ["b", "c"]] * 12), ALL, "--output-space=multilabel"),
        refused("nested-list-labels.parquet", parquet(label=[[["a"]], [["b"], ["c"]]] * 12),
                "'nested-list-labels.parquet'", "--output-space=multilabel"),
        refused("image-column.parquet", as_parquet({"image": [b"PNG"] * 3}), "expected a text column"),
    )


def labels() -> tuple[Nasty, ...]:
    """Labels of every kind."""
    many = [{"text": text, "label": f"class {row % 10_000}"} for row, text in enumerate(TEXTS * 834) if row < 20_000]
    return (
        read("float-labels.csv", as_csv(labelled([0.0, 1.0])), "1 1 (12) (learns it) 1"),
        read("fraction-labels.csv", as_csv(labelled([0.5, 1.5])), "1.5 (12)"),
        read("nan-labels.csv", as_csv(labelled([0, 1, math.nan])), "train 22 14 8"),
        read("nan-labels.jsonl", as_jsonl(labelled([0, 1, math.nan])), "train 22 14 8"),
        refused("all-nan-labels.csv", as_csv(labelled([math.nan])), "no row has a label"),
        refused("infinite-labels.jsonl", as_jsonl(labelled([1.0, math.inf])), "not a finite number",
                "--output-space=regression"),
        refused("infinite-labels.csv", as_csv(labelled(["1.5", "1e999"])), "not a finite number",
                "--output-space=regression"),
        read("bool-labels.jsonl", as_jsonl(labelled([True, False])), "True"),
        read("date-labels.csv", as_csv(labelled(["2026-01-31", "2026-02-01"])), "2026-02-01"),
        refused("list-labels.jsonl", as_jsonl(labelled([["a"], ["b"]])), "output space"),
        refused("object-labels.jsonl", as_jsonl(labelled([{"a": 1}, {"b": 2}])), "'object-labels.jsonl'"),
        read("huge-numbers.csv", as_csv(labelled(["9" * 30, "8" * 30])), "9" * 30),
        read("very-huge-numbers.csv", as_csv(labelled(["9" * 5000, "8"])), ALL),
        refused("huge-regression.csv", as_csv(labelled(["9" * 400, "8"])), "not a finite number",
                "--output-space=regression"),
        read("negative.csv", as_csv(labelled([-2, 5])), "-2 (12)"),
        refused("one-class.csv", as_csv(labelled(["food"])), "at least two classes"),
        refused("one-row.csv", as_csv(ROWS[:1]), "at least two classes"),
        read("one-row-regression.csv", as_csv(labelled([1.5], TEXTS[:1])), "train 1 1 0", "--output-space=regression"),
        read("two-rows.csv", as_csv(labelled(["a", "b"], TEXTS[:2])), "train 2 2 0"),
        refused("each-its-own.csv", as_csv([{"text": text, "label": text} for text in TEXTS]), "both text and label",
                "--label-column=text"),
        read("every-label-once.csv", as_csv([{"text": text, "label": n} for n, text in enumerate(TEXTS)]),
             "train 24 24 0"),
        read("ten-thousand-classes.csv", as_csv(many), "10000 labels"),
        read("long-labels.csv", as_csv(labelled(["a" * 10_000, "b" * 10_000])), ALL),
        read("markup-labels.csv", as_csv(labelled(["[bold]a[/bold]", "[/x] :smile:"])), "[/x] :smile:"),
        read("labels-differ-in-case.csv", as_csv(labelled(["Food", "food", "other"])), "3 labels"),
        read("bars.csv", as_csv(labelled(["a|b", "c", "[]"])), ALL, "--output-space=multilabel"),
        refused("words-regression.csv", CSV, "not a finite number", "--output-space=regression"),
        read("constant-regression.csv", as_csv(labelled([1.5])), ALL, "--output-space=regression"),
    )


def texts() -> tuple[Nasty, ...]:
    """Texts of every kind."""
    return (
        refused("empty-texts.csv", as_csv(texts_as([""] * 24)), "is empty"),
        refused("blank-texts.csv", as_csv(texts_as([" \t\u3000\u00a0"] * 24)), "is empty"),
        read("some-empty.csv", as_csv(texts_as(["", *TEXTS[1:]])), ALL),
        read("same-texts.csv", as_csv(texts_as(["oil and gas"] * 24)), ALL),
        read("same-rows.csv", as_csv([ROWS[0], ROWS[1]] * 12), ALL),
        read("numbers.csv", as_csv(texts_as([str(n) for n in range(24)])), ALL),
        read("numbers.jsonl", as_jsonl([{"text": n, "label": n % 2} for n in range(24)]), ALL),
        read("nothings.csv", as_csv(texts_as(["None", "NaN", "null", "NA", "nan", ""] * 4)), ALL),
        read("right-to-left.csv", as_csv(texts_as(["النفط والحبوب \u202eabc", "שלום עולם"] * 12)), ALL),
        read("emoji.csv", as_csv(texts_as(["👩‍👩‍👧‍👦 🛢️", "🌾"] * 12)), ALL),
        read("zalgo.csv", as_csv(texts_as(["o" + "\u0301" * 500 + "l", "\ufeff\u200b\u2028"] * 12)), ALL),
        read("control.csv", as_csv(texts_as(["\x01\x1b[31moil\x7f", "gas"] * 12)), ALL),
        read("one-letter-texts.csv", as_csv(texts_as(list("abcdefghijklmnopqrstuvwx"))), ALL),
        read("no-words.csv", as_csv(texts_as(["!", "?", "…", "—"] * 6)), ALL),
    )


def not_files() -> tuple[Nasty, ...]:
    """What is no file."""
    return (
        refused("folder.csv", FOLDER, "expected a file train"),
        refused("fifo.csv", FIFO, "no such file"),
        refused("loop.csv", LOOP, "'loop.csv'"),
        folder("train-is-a-folder", "train.csv", False, train_csv=FOLDER),
        folder("train-is-a-fifo", "train.csv", False, train_csv=FIFO),
        folder("train-is-a-loop", "train.csv", False, train_csv=LOOP),
        folder("validation-is-a-fifo", "validation.csv", False, train_csv=CSV, validation_csv=FIFO),
        folder("nothing-known", "expected a file train", False, rows_csv=CSV),
        folder("two-trains", "expected one file for split 'train'", False, train_csv=CSV, train_jsonl=as_jsonl(ROWS)),
        Nasty("long-name", (), "d" * 300 + ".csv", "File name too long", False),
        Nasty("nothing", (), "nowhere.csv", "no such file", False),
        Nasty("empty-name", (), "", "option 'data'", False),
        Nasty("device", (), "/dev/null", "no such file", False),
        Nasty("unknown-home", (), "~nobody-such/train.csv", "~nobody-such", False),
    )


def splits() -> tuple[Nasty, ...]:
    """Files of one data set that do not agree."""
    other = as_csv([{"body": text, "label": "food"} for text in TEXTS])
    wrong = as_csv(labelled(["food", "grain"]))
    return (
        folder("other-columns", "has no column 'text'", False, train_csv=CSV, validation_csv=other),
        folder("other-labels", "'grain'", False, train_csv=CSV, validation_csv=wrong),
        folder("other-kinds", "'other-kinds'", False, train_csv=CSV, validation_csv=as_csv(labelled([7, 8]))),
        folder("no-labels", "validation 24 0 24", True, train_csv=CSV, validation_csv=as_csv([{"text": "oil"}] * 24)),
        folder("empty-test", "split 'test' has no rows", False, train_csv=CSV, test_csv=b"text,label\n"),
        folder("other-formats", "validation 24 24 0", True, train_csv=CSV, validation_parquet=parquet()),
        folder("numbers-and-words", "validation 24 24 0", True, train_jsonl=as_jsonl(labelled([0, 1])),
               validation_csv=as_csv(labelled(["0", "1"]))),
        folder("unlabelled-too", "train 46 22 24", True, train_csv=CSV, unlabelled_jsonl=as_jsonl(ROWS)),
    )
