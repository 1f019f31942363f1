"""What a soak tries: random tasks, models, methods and options, each the same for one seed and number. Not a script."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

CHAPTER = 20
"""Cases that share one cache and a few tasks: a part of them finds the teacher's answers there."""
THEMES = 3
TOPICS = {"food": ("wheat", "grain", "bread", "sugar"), "metal": ("iron", "zinc", "gold", "ore"),
          "money": ("bank", "dollar", "loan", "rate")}
FILLING = ("ship", "port", "week", "price", "said", "new", "month", "trade", "of", "the")
NASTY = ("", "   ", "\u200b", "🙂🙂 👨‍👩‍👧", "שלום עולם", "مرحبا بالعالم", "x" * 3000, "wheat " * 700,
         'he said "no", twice', "NULL", "nan", "<script>alert(1)</script>", "e\u0301 = é", "=1+1", "\\n",
         "tab\there", "two\nlines")
SURE = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
"""Shares of the topics in the first rows: each is there."""
ENCODERS = ("bert", "roberta", "mpnet", "distilbert")
WORD_MODELS = ("cnn", "bilstm", "bag")
LIVE = ("tinybert", "pid", "sid")
"""Methods for which student and teacher have to read the same tokens: most pairs cannot."""
PROJECTORS = ("attention", "attention:temperature=0.5", "attention:score=cosine", "fixed:strategy=uniform",
              "fixed:strategy=last", "fixed:strategy=even", "fixed:strategy=buckets", "random", "random:draws=1",
              "teacher-assistant", "label-confidence", "ensemble:generations=3")
DISTURBANCES = {"none": 8, "kill -9": 4, "SIGTERM": 2, "SIGINT": 2, "damaged entry": 1, "two at once": 1,
                "two at once, one killed": 1}
"""Each with how often it is drawn."""


@dataclass(frozen=True)
class Theme:
    """A task on disk with its teacher."""

    data: Path
    space: str
    teacher: str
    tuning: str
    """finetune, probe, or stored: a classifier that an earlier run left behind."""
    about: Mapping[str, str]
    """For the table: what kind of data it is."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Of this task, for every run."""


@dataclass(frozen=True)
class Case:
    """A run with what is done to it."""

    number: int
    theme: Theme
    student: str
    method: str
    options: Mapping[str, str]
    disturbance: str
    baseline: bool
    afterwards: tuple[str, ...]
    """What is tried with the finished run: report, eval, onnx."""
    twin: str
    """What it is compared with, byte by byte: nothing, "fork", or "process", a run in a process that is no fork."""
    moments: random.Random
    """When it is disturbed."""

    def arguments(self) -> list[str]:
        """Of ``ukd distill`` and ``ukd check``, but for output and cache."""
        own = {"teacher": self.theme.teacher, "student": self.student, "data": str(self.theme.data),
               "method": self.method, "output-space": self.theme.space, "device": "cpu", **self.theme.options,
               **self.options}
        if self.theme.tuning == "probe":
            own["teacher-tuning"] = "probe"
        return [f"--{key}={value}" for key, value in own.items()]

    def kinds(self) -> dict[str, str]:
        """By what the table counts."""
        adapter = self.theme.teacher.partition(":")[0]
        return {"teacher": f"{'stored' if '/' in adapter else adapter}, {self.theme.tuning}",
                "student": "stored" if "/" in self.student else self.student.partition(":")[0],
                "method": self.method + (" @projector" if "projector" in self.options else ""),
                "output space": self.theme.space, **self.theme.about, "disturbance": self.disturbance}


def chapter_of(number: int) -> int:
    """The chapter of a case; both are counted from 0."""
    return number // CHAPTER


def draw_themes(seed: int, chapter: int, folder: Path, stored: Callable[[Theme, Path], str | None]
                ) -> list[Theme]:
    """The tasks of a chapter, written to disk.

    Args:
        seed: Of the soak.
        chapter: Its number.
        folder: Where the data goes.
        stored: Trains a classifier for a task into a folder and gives that of its run, or None where it cannot.
    """
    draw = random.Random(f"themes {seed} {chapter}")
    themes = []
    for number in range(THEMES):
        place = folder / f"data-{number}"
        theme = _task(draw, place)
        kept = stored(theme, folder / f"stored-{number}") if draw.random() < 0.3 else None
        if kept is not None:
            theme = replace(theme, teacher=kept, tuning="stored")
        themes.append(theme)
    return themes


def draw_case(seed: int, number: int, themes: list[Theme], methods: tuple[str, ...]) -> Case:
    """A case; the same for the same arguments.

    Args:
        seed: Of the soak.
        number: Of the case, from 0.
        themes: Of its chapter.
        methods: All that there are.
    """
    draw = random.Random(f"case {seed} {number}")
    theme = draw.choice(themes)
    method = draw.choice(methods)
    student = _student(draw, theme, method)
    disturbance = draw.choices(list(DISTURBANCES), list(DISTURBANCES.values()))[0]
    afterwards = tuple(what for what, share in (("report", 0.08), ("eval", 0.1), ("onnx", 0.04))
                       if draw.random() < share)
    twin = draw.choices(("", "fork", "process"), (72, 24, 4))[0]
    return Case(number, theme, student, method, _options(draw, theme, method), disturbance,
                method != "none" and draw.random() < 0.06, afterwards, twin, random.Random(draw.random()))


def _task(draw: random.Random, folder: Path) -> Theme:
    space = draw.choices(("classes", "multilabel", "regression"), (3, 1, 1))[0]
    rows, pairs = draw.choice((24, 40, 60, 90)), draw.random() < 0.3
    ending = draw.choice(("jsonl", "csv"))
    known = draw.choices((1.0, 0.5, 0.15), (5, 2, 1))[0]
    mixed = (90, 8, 2) if draw.random() < 0.3 else (40, 35, 25)
    nasty = draw.random() < 0.3
    splits = {"train": rows, **{name: draw.choice((8, 20)) for name, share in
                                (("validation", 0.6), ("test", 0.5), ("unlabelled", 0.3)) if draw.random() < share}}
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in splits.items():
        table = [_row(draw, space, pairs, SURE[number % 3] if number < 6 else mixed, nasty) for number in range(count)]
        for number, row in enumerate(table):
            if split == "unlabelled" or (split == "train" and number > 5 and draw.random() > known):
                row["label"] = None
        _write(folder / f"{split}.{ending}", table)
    teacher, tuning = _model(draw, draw.choice(ENCODERS + WORD_MODELS)), draw.choice(("finetune", "finetune", "probe"))
    about = {"texts": ("pairs" if pairs else "single") + (", nasty" if nasty else ""),
             "labels": f"{known:.0%} of the rows" + (", unbalanced" if mixed[0] == 90 else ""),
             "splits": ", ".join(splits)}
    options = {"max-length": str(draw.choice((5, 16, 40))), "teacher-epochs": draw.choice(("0.5", "1")),
               "data-seed": str(draw.choice((0, 7)))}
    return Theme(folder, space, teacher, tuning, about, options)


def _row(draw: random.Random, space: str, pairs: bool, mixed: tuple[int, ...], nasty: bool) -> dict[str, Any]:
    topic = draw.choices(list(TOPICS), mixed)[0]
    words = draw.choices(TOPICS[topic], k=draw.randint(1, 3)) + draw.choices(FILLING, k=draw.randint(0, 9))
    draw.shuffle(words)
    text = draw.choice(NASTY) if nasty and draw.random() < 0.15 else " ".join(words)
    row: dict[str, Any] = {"text": text}
    if pairs:
        row = {"sentence1": text, "sentence2": " ".join(draw.choices(FILLING, k=draw.randint(1, 6)))}
    holds = [name for name, members in TOPICS.items() if set(members) & set(words) or draw.random() < 0.1]
    label = {"classes": topic, "multilabel": holds if draw.random() < 0.9 else [],
             "regression": round(len(words) / 3 + list(TOPICS).index(topic), 2)}[space]
    return {**row, "label": label}


def _write(path: Path, table: list[dict[str, Any]]) -> None:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table), encoding="utf-8")
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table[0])
        writer.writerows([_cell(value) for value in row.values()] for row in table)


def _cell(value: Any) -> Any:
    return ("|".join(value) or "[]") if isinstance(value, list) else "" if value is None else value


def _model(draw: random.Random, adapter: str) -> str:
    """A fresh tiny model."""
    layers, width = draw.choice((1, 2, 3)), draw.choice((8, 16))
    if adapter in ENCODERS:
        return f"{adapter}:layers={layers},hidden={width},heads=2,intermediate=16,vocab_size=300"
    return f"{adapter}:layers={layers},hidden={width},embedding_width=8,embeddings=random"


def _student(draw: random.Random, theme: Theme, method: str) -> str:
    adapter = theme.teacher.partition(":")[0]
    if method.removesuffix("+universal") in LIVE and adapter in ENCODERS and draw.random() < 0.9:
        return draw.choice((f"{adapter}:layers=1,hidden=8,heads=2", f"{adapter}:init=teacher-lower,layers=1"))
    if theme.tuning == "stored" and draw.random() < 0.1:
        return theme.teacher
    if adapter in ENCODERS and draw.random() < 0.15:
        return f"{adapter}:init=teacher-lower"
    student = draw.choice(ENCODERS + WORD_MODELS)
    made = _model(draw, student)
    if student in WORD_MODELS and draw.random() < 0.3:
        return f"{student}:layers=2,hidden=8,vocabulary=teacher"
    return made + draw.choice(("", ",dropout=0.0", ",pooling=mean"))


def _options(draw: random.Random, theme: Theme, method: str) -> dict[str, str]:
    """Some of the keys of a recipe, most of them left alone in most cases."""
    choices: dict[str, tuple[float, tuple[str, ...]]] = {
        "epochs": (1.0, ("0.4", "1", "2", "3")), "batch-size": (0.7, ("1", "4", "8", "64")),
        "seed": (0.7, ("1", "2", "4294967295")), "trim-vocabulary": (0.2, ("false",)),
        "group-by-length": (0.2, ("false",)), "cache-dtype": (0.2, ("float16",)),
        "temperature": (0.2, ("0.5", "4", "50")), "precision": (0.1, ("bf16",)), "max-labels": (0.1, ("6", "12")),
        "max-train-rows": (0.1, ("10", "20")), "max-eval-rows": (0.1, ("1", "5")), "head-rows": (0.1, ("3", "12")),
        "unlabelled-weight": (0.1, ("0.25", "0", "3")), "validation-fraction": (0.15, ("0", "0.3")),
        "warmup": (0.1, ("0", "0.6")), "weight-decay": (0.1, ("0",)), "learning-rate": (0.1, ("1e-2",)),
        "projector": (0.2, PROJECTORS), "assistants": (0.1, ("cnn:layers=1,hidden=8", "bag:hidden=8,cnn:hidden=8")),
        "class-weights": (0.1, ("balanced",)), "head-l2": (0.05, ("0", "100"))}
    drawn = {key: draw.choice(values) for key, (share, values) in choices.items() if draw.random() < share}
    if "assistants" in drawn and draw.random() < 0.4:
        drawn["assistant-use"] = "ensemble"
    if theme.space == "regression" and draw.random() < 0.2:
        drawn["metric"] = "spearmanr"
    return drawn
