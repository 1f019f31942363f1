"""Hypothesis draws commands as no user means them: recipes, options, rows and bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from nasty_files import CHECK
from oracle import FIFO, FOLDER, LOOP, Case
from worlds import CHEAP, MODEL, as_csv, as_jsonl, as_parquet, good_rows

from ukd_core import Recipe

Draw = Callable[..., Any]

YAML_VALUES = (
    "~", "", "[]", "{}", "[1, 2]", "{a: 1}", "-1", "0", "1", "3.5", "1e400", "1e3", ".nan", ".inf", "-.inf", "9" * 40,
    "9" * 5000, "true", "no", "x" * 5000, "''", '"\\0"', '"\\ud800"', "!!binary aGk=", "!!int x", "!!float x",
    "!!timestamp x", "!!set {a, b}", "!!python/object/apply:os.getcwd []", "2026-13-45", "2026-01-31", "&a [*a]",
    "*nowhere", "<<: {a: 1}", "\t1", "0b_", "0x_", "0o9", "1:99", "=", "<<", "yes", "{", "|", ">", "- a", "? x",
    "é\u202e😀", "\x00", "\x07", "'", '"', "%", "@", "`", "a: b", "[[[[" * 30, "[" * 3000, "[[0, 1], [1]]",
    "/", ".", "..", "../x", "a/b", "~/x", "~nobody-such/x", "nowhere.csv", "os", "a,b", ",", ":", "a:b", "cnn:",
    "bert:")
"""Written after a key of a recipe."""

MODELS = (
    MODEL, "cnn", "bilstm:layers=1,hidden=8", "bag", "bert:layers=1,hidden=8,heads=1", "{world}/run", "{world}/hf",
    "{world}/run/student", "{world}", "{world}/data", "{world}/data.csv", "bert:layers=", "bert:layers=x",
    "cnn:hidden=1e9",
    "cnn:hidden=1000000000", "cnn:hidden=-1", "cnn:layers=99999999999999999999", "cnn:kernel=2", "cnn:kernel=999999999",
    "cnn:hidden", "cnn:=1", "cnn:hidden=8,hidden=4", "cnn:hidden=[8", "cnn:hidden={8}", "cnn:hidden=8,,", "cnn:,",
    "cnn::",
    "cnn:hidden=true", "cnn:hidden=2026-13-45", "cnn:hidden=" + "[" * 3000, "cnn:hidden=" + "9" * 5000,
    "cnn:dropout=nan",
    "cnn:dropout=.nan", "cnn:embeddings=nowhere.vec", "cnn:embeddings=texts.txt", "cnn:vocabulary=teacher",
    "cnn:vocabulary=nowhere", "cnn:vocabulary=texts.txt", "cnn:vocabulary=.", "cnn:from={world}/run", "cnn:from=",
    "cnn:from=nowhere", "bert:from={world}/run", "bert:from=[1]", "bert:hidden=7,heads=2", "bert:heads=0",
    "bert:vocab_size=1000000000000", "bag:ngrams=5,buckets=1", "bag:buckets=1000000000000", "bag:ngrams=6", "no-such",
    "", " ", ":", "/", ".", "..", "a/b", "a/b/c", "org/name", "embedded:", "embedded:nowhere", "x" * 300, "x" * 5000,
    "a/" + "x" * 5000, "nul\0", "\ud800", "😀", "cnn\n", "-", "--", "[", "~nobody-such/x", "data.csv", "train.csv")
PATHS = (
    "{world}/data", "{world}/data.csv", "{world}/data/train.jsonl", "{world}/run", "{world}/hf", "{world}/compared",
    "{world}/texts.txt", "{world}/cache", "{world}/run/metrics.json", "nowhere", "nowhere.csv", "folder", "fifo.csv",
    "loop.csv", "texts.txt", "texts.jsonl", "empty", "data.csv/x", "", " ", ".", "..", "/", "/proc/nope", "x" * 300,
    "a/b/c/d", "~nobody-such/x", "nul\0", "\ud800", "é😀", "embedded:nowhere", "org/name", "org/name:config", "-",
    "*.csv")
OUTPUTS = ("output", "output/deep/er", "folder/output", "output é", "", ".", "..", "/", "/proc/nope/output",
           "texts.txt",
           "texts.txt/output", "loop.csv", "fifo.csv", "empty", "{world}/data", "{world}/run", "x" * 300, "nul\0",
           "\ud800",
           "~nobody-such/x", "folder", "outputs/" + "x" * 5000)
NUMBERS = ("0", "1", "2", "3", "-1", "0.5", "1.5", "1e-300", "1e300", "1e400", "nan", "inf", "-inf", "NaN", "9" * 40,
           "9" * 5000, "1_0", "0x10", "1e3", "", " ", "one", "1,5", "٣", "½", "--", "-0", "+1", "true", "[1]",
           "2147483648",
           "4294967296", "9223372036854775808", "18446744073709551616")
WORDS = ("", " ", ",", "a,b", "a,b,c", "text", "label", "text,label", "text,text", "TEXT", "nowhere", "food,other",
         "other,food", "food,food", "food", "food,other,third", "x" * 5000, "nul\0", "\ud800", "é", "[bold]", "%s",
         "{}",
         "none", "logit-kd", "universal-kd", "universal_kd", "pkd+universal", "none+universal", "+universal",
         "pkd+universal+universal", "attention", "fixed", "fixed:strategy=skip", "fixed:pairs=[[",
         "fixed:pairs=[[0,0]]",
         "fixed:strategy=pairs,pairs=[[0,99]]", "fixed:strategy=pairs,pairs=[[0,0],[1,1]]", "fixed:strategy=pairs",
         "attention:temperature=nan", "attention:temperature=1e-300", "random:draws=0",
         "random:draws=99999999999999999999",
         "random:seed=99999999999999999999", "ensemble", "ensemble:generations=1,population=1",
         "ensemble:population=99999999999", "teacher-assistant:until=0", "label-confidence:temperature=1e300", "linear",
         "classes", "multilabel", "regression", "accuracy", "f1", "mse", "pearson", "auto", "cpu", "cuda", "mps", "tpu",
         "fp32", "bf16", "float16", "finetune", "probe", "balanced", "chain", "ensemble", "true", "false", "yes",
         "1", "-1",
         "train", "validation", "test", "hf", "onnx", "tfidf", "tfidf,tfidf", "no-such", "tfidf,")
PLUGINS = ("", " ", ".", "..", "/", "nowhere.py", "texts.txt", "os", "json", "no_such_module", "a b", "a.b.c",
           "a..b", ".a",
           "folder", "broken.py", "{world}/data.csv", "x" * 300, "é", "nul\0", "\ud800", "ukd_plugins.plugin")
KINDS: dict[str, tuple[str, ...]] = {
    "teacher": MODELS, "student": MODELS, "data": PATHS, "output": OUTPUTS, "cache": PATHS, "plugin": PLUGINS,
    "plugin-folder": PATHS, "recipe": PATHS, "students": MODELS, "assistants": MODELS, "file": PATHS, "model": PATHS}
"""By option what its values are drawn from; else from numbers and words."""
SLOW = frozenset({"jobs", "teacher-epochs", "compile"})
"""Options that are left as they are: what they may rightly be asked for takes longer than a case has."""
OTHER_FLAGS = {
    "distill": ("--overwrite", "--resume", "--with-baseline", "--no-speed", "--no-check", "--alternatives", "--help"),
    "check": ("--help",), "compare": ("--help",)}
COMMANDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # the words of a command that works, and the names of its options
    "eval": (("eval", "{world}/run", "--data={world}/data.csv"),
             ("data", "split", "text-columns", "label-column", "max-eval-rows", "plugin", "plugin-folder", "cache")),
    "predict": (("predict", "{world}/run", "{world}/texts.txt"), ("plugin", "plugin-folder", "cache")),
    "export": (("export", "{world}/run", "--format=hf", "--output=output"),
               ("format", "output", "data", "text-columns", "label-column", "cache")),
    "bench": (("bench", "{world}/run", "--data={world}/data.csv", "--seconds=0"),
              ("data", "teacher", "threads", "seconds", "split", "text-columns", "label-column", "cache")),
    "report": (("report", "{world}/run", "--output=output.html"), ("output",)),
    "verdict": (("verdict", "{world}/run"), ("alternatives",)),
    "suggest": (("suggest", "--data={world}/data.csv", "--latency-ms=5", f"--students={MODEL}"),
                ("data", "latency-ms", "teacher", "students", "batch", "threads", "max-length", "text-columns",
                 "label-column", "cache")),
    "methods": (("methods",), ("plugin", "plugin-folder", "markdown")),
    "plugins": (("plugins",), ("plugin", "plugin-folder")),
    "plugins check": (("plugins", "check", "linear", "--examples=1"), ("plugin", "plugin-folder")),
    "cache list": (("cache", "list", "--cache={world}/cache"), ("cache",)),
    "cache verify": (("cache", "verify", "--cache={world}/cache"), ("cache",)),
    "cache remove": (("cache", "remove", "no-such-entry", "--cache={world}/cache"), ("cache",)),
}
ARGUMENTS = {"eval": PATHS, "export": PATHS, "bench": PATHS, "report": PATHS, "verdict": PATHS, "predict": PATHS,
             "plugins check": ("linear", "attention:temperature=0.5", "no-such", "", "fixed:pairs=[["),
             "cache remove": ("", "x", "../run", "/", ".", "*", "no-such", "x" * 300, "nul\0")}
"""By command what its first argument may be."""
BESIDE: tuple[tuple[str, bytes | str], ...] = (
    ("folder/x", b""), ("empty", b""), ("texts.txt", b"oil and gas\n\tgrain\n\n"), ("fifo.csv", FIFO), ("loop.csv",
                                                                                                        LOOP),
    ("texts.jsonl", b'{"text": "oil"}\n{"txt": 1}\n'), ("data.csv", as_csv(good_rows())), ("broken.py", b"def f(:\n"),
    ("train.csv", FOLDER))
"""What lies in the folder of every command."""
CHEAP_RUN = ("distill", *CHECK, "--data={world}/data", "--output=output", "--no-speed", "--method=none")


@st.composite
def option_cases(draw: Draw) -> Case:
    """A command that works, with a few of its options changed."""
    command = draw(st.sampled_from(["check"] * 8 + ["distill"] * 3 + ["compare"] * 2 + list(COMMANDS)))
    if command in COMMANDS:
        words, names = COMMANDS[command]
    else:
        names = tuple(key.replace("_", "-") for key in Recipe.model_fields if key not in ("phases", "plugins"))
        words = {"check": ("check", *CHECK, "--data={world}/data"), "distill": CHEAP_RUN, "compare": (
            "compare", *CHECK, "--data={world}/data", f"--students={MODEL}", "--methods=none", "--seeds=1",
            "--output=output")}[command]
        names += {"check": ("recipe",), "distill": ("recipe",), "compare": ("students", "methods", "seeds")}[command]
        if command == "compare":
            place = words.index("--student")
            words = (*words[:place], *words[place + 2:])
    made = list(words)
    for _ in range(draw(st.integers(0, 3))):
        made.append(draw(changed_options(command, tuple(name for name in names if name not in SLOW))))
    if command in ARGUMENTS and draw(st.integers(0, 2)) == 0:
        made[2 if " " in command else 1] = draw(st.sampled_from(ARGUMENTS[command]))
    if draw(st.integers(0, 9)) == 0:
        made.append(draw(st.sampled_from(("--unknown", "--no-such=1", "-x", "extra", "", "--", "-", "---", "--\0", "=",
                                          "--help", "--data", "--output"))))
    if draw(st.integers(0, 19)) == 0:
        made.pop(draw(st.integers(0, len(made) - 1)))
    return Case("options", tuple(made), BESIDE)


@st.composite
def changed_options(draw: Draw, command: str, names: tuple[str, ...]) -> str:
    """One option with a value, or a flag."""
    flags = OTHER_FLAGS.get(command, ())
    if flags and draw(st.integers(0, 7)) == 0:
        return str(draw(st.sampled_from(flags)))
    name = draw(st.sampled_from(names))
    values = KINDS.get(name, (*NUMBERS, *WORDS))
    value = draw(st.one_of(st.sampled_from(values), st.text(max_size=12)) if draw(st.integers(0, 5)) == 0
                 else st.sampled_from(values))
    if (name == "cache" and not value.strip()) or (command in ("report", "export") and value.startswith("/")):
        value = "nowhere"  # never the user's own cache, nor a file of the machine
    return f"--{name}={value}"


@st.composite
def recipe_cases(draw: Draw) -> Case:
    """A recipe that works, with a few of its lines changed."""
    lines = [f"{key}: {json.dumps(value)}" for key, value in {
        "teacher": MODEL, "student": MODEL, "data": "{world}/data", "output": "output", "cache": "{world}/cache",
        "method": "none", "seed": 1, **CHEAP}.items()]
    if draw(st.integers(0, 3)) == 0:
        lines += PHASES.splitlines()
    for _ in range(draw(st.integers(0, 3))):
        draw(st.sampled_from((drop, misspell, double, revalue, revalue, revalue, revalue, another, junk)))(draw, lines)
    text = "\n".join(lines) + "\n"
    content = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 5)) == 0:
        content = draw(mutations(content))
    command = "distill" if draw(st.integers(0, 3)) == 0 else "check"
    extra = ("--no-speed",) if command == "distill" else ()
    return Case("recipe", (command, "--recipe=recipe.yaml", *extra), (*BESIDE, ("recipe.yaml", content)))


PHASES = """\
phases:
  - name: first
    share: 0.5
    start: best
    terms:
      - {term: hard-label, weight: [[0, 0], [0.5, 1]], label: words}
      - term: logit-kd
        weight: 0.5
        options: {temperature: 2.0}
  - name: second
    share: 0.5
    terms: [{term: layer-kd, options: {projector: attention}}]"""


def drop(draw: Draw, lines: list[str]) -> None:
    lines.pop(draw(st.integers(0, len(lines) - 1))) if lines else None


def misspell(draw: Draw, lines: list[str]) -> None:
    place = draw(st.integers(0, len(lines) - 1)) if lines else None
    if place is not None and lines[place]:
        letter = draw(st.integers(0, len(lines[place]) - 1))
        other = draw(st.sampled_from(("", "x", " ", ":", "\t", "-", "é")))
        lines[place] = lines[place][:letter] + other + lines[place][letter + 1:]


def double(draw: Draw, lines: list[str]) -> None:
    lines += lines[draw(st.integers(0, len(lines) - 1)):][:1] if lines else []


def revalue(draw: Draw, lines: list[str]) -> None:
    place = draw(st.integers(0, len(lines) - 1)) if lines else None
    if place is not None:
        key = lines[place].partition(":")[0]
        lines[place] = f"{key}: {draw(st.sampled_from(YAML_VALUES))}"


def another(draw: Draw, lines: list[str]) -> None:
    keys = [key for key in Recipe.model_fields if key.replace("_", "-") not in SLOW]
    lines.insert(0, f"{draw(st.sampled_from(keys))}: {draw(st.sampled_from(YAML_VALUES))}")


def junk(draw: Draw, lines: list[str]) -> None:
    lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(YAML_VALUES)))


CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 5), st.integers(), st.floats(), st.text(max_size=20), st.just("food"),
    st.just("other"), st.sampled_from(("", " ", "nan", "NaN", "-1", "1.0", "1e999", "a|b", "[]", "['a']", "\ud800",
                                       "\0", "\r",
                                       '"', "\t", "x,y", "None", "2026-01-31", "9" * 25)),
    st.lists(st.one_of(st.text(max_size=3), st.integers(0, 3), st.none()), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2))
TASKS = ((), (), (), ("--output-space=multilabel",), ("--output-space=regression",), ("--validation-fraction=0",),
         ("--text-columns=label", "--label-column=text"), ("--max-labels=2",), ("--max-train-rows=1",))


@st.composite
def row_cases(draw: Draw) -> Case:
    """A file of rows of any kind; most have a text and one of two labels."""
    rows = [dict(row) for row in good_rows(draw(st.integers(0, 12)))]
    keys = st.one_of(st.sampled_from(("text", "label", "Text", "labels", "", "pair")), st.text(max_size=4))
    kind = draw(st.sampled_from(("label", "text", "any", "any")))
    for row in rows:
        if kind != "any" and draw(st.booleans()):
            row[kind] = draw(CELLS)
        elif kind == "any" and draw(st.integers(0, 3)) == 0:
            row[draw(keys)] = draw(CELLS)
    name, content = draw(st.sampled_from(WRITERS))(rows)
    return Case("rows", (*used(draw, name), *draw(st.sampled_from(TASKS))), ((name, content),))


def used(draw: Draw, name: str) -> tuple[str, ...]:
    """A command on a file: most are only checked."""
    model = ("--data", name, "--cache={world}/cache")
    run = ("distill", *CHECK, "--data", name, "--output=output", "--no-speed", "--method=none")
    return tuple(draw(st.sampled_from((("check", *CHECK, "--data", name),) * 5 + (run,))) if name else model)


def as_jsonl_file(rows: list[dict[str, Any]]) -> tuple[str, bytes]:
    return "rows.jsonl", as_jsonl(rows)


def as_array_file(rows: list[dict[str, Any]]) -> tuple[str, bytes]:
    return "rows.json", json.dumps(rows).encode()


def as_csv_file(rows: list[dict[str, Any]], separator: str = ",") -> tuple[str, bytes]:
    columns = list(dict.fromkeys(key for row in rows for key in row)) or ["text", "label"]
    whole = [{key: str(row.get(key, "")).encode("utf-8", "replace").decode() for key in columns} for row in rows]
    header = dict(zip(columns, (key.encode("utf-8", "replace").decode() for key in columns), strict=True))
    written = [{header[key]: value for key, value in row.items()} for row in whole]
    return "rows.csv" if separator == "," else "rows.tsv", as_csv(written, separator) if written else b"text,label\n"


def as_tsv_file(rows: list[dict[str, Any]]) -> tuple[str, bytes]:
    return as_csv_file(rows, "\t")


def as_parquet_file(rows: list[dict[str, Any]]) -> tuple[str, bytes]:
    """Columns that Parquet cannot hold are written as text."""
    columns: dict[str, Any] = {}
    for key in dict.fromkeys(key for row in rows for key in row):
        values = [row.get(key) for row in rows]
        try:
            as_parquet({"x": values})
        except Exception:  # of pyarrow, which raises what it likes
            values = [None if value is None else str(value).encode("utf-8", "replace").decode() for value in values]
        columns[key.encode("utf-8", "replace").decode()] = values
    return "rows.parquet", as_parquet(columns)


WRITERS = (as_csv_file, as_tsv_file, as_jsonl_file, as_array_file, as_parquet_file)
GOOD_FILES = tuple(make([dict(row) for row in good_rows()]) for make in WRITERS)
PIECES = (b"", b"\0", b"\n", b"\r", b'"', b"'", b",", b"\t", b"{", b"}", b"[", b"]", b"\\", b"\xff", b"\xc3",
          b"\xef\xbb\xbf",
          b"\xed\xa0\x80", b"null", b"text", b"label", b"\\ud800", b"NaN", b"1e999", b"[" * 100, b'"' * 99, b"-1",
          b" " * 50)


@st.composite
def mutations(draw: Draw, content: bytes) -> bytes:
    """Bytes with a few cut out, doubled, overwritten or put in."""
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(content)))
        end = begin + draw(st.sampled_from((0, 0, 1, 1, 2, 8, 64, 10_000)))
        piece = draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=8), st.just(content[begin:end] * 2)))
        content = content[:begin] + piece + content[end:]
    return content


@st.composite
def byte_cases(draw: Draw) -> Case:
    """A good file with a few bytes changed, on its own or as the validation rows of a good one."""
    name, good = draw(st.sampled_from(GOOD_FILES))
    content = draw(mutations(good))
    place = draw(st.integers(0, 9))
    if place == 0:
        return Case("bytes", ("predict", "{world}/run", name), ((name, content),))
    if place == 1:
        return Case("bytes", ("eval", "{world}/run", "--data", name, "--cache={world}/cache"), ((name, content),))
    if place == 2:
        other = f"data/{name.replace('rows', 'validation')}"
        return Case("bytes", used(draw, "data"), (("data/train.csv", GOOD_FILES[0][1]), (other, content)))
    return Case("bytes", used(draw, name), ((name, content),))


GENERATED = {"recipe": recipe_cases(), "options": option_cases(), "rows": row_cases(), "bytes": byte_cases()}
"""By kind what draws its cases."""
