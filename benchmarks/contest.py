"""What the comparisons share: one teacher, one student, the same rows in the same batches, and a table of seconds.

Not a script. A comparison gives `compete` the function that trains a student its own way; everything else, the times
that bound what caching can give among it, is measured here, in the same process and in alternation.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Sampler
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    get_linear_schedule_with_warmup,
    set_seed,
)
from transformers.trainer_pt_utils import LengthGroupedSampler

from ukd_core import BuildContext, LayerSource, Recipe, distill, quiet
from ukd_core.plugins import load_registry
from ukd_core.run.data import read_data
from ukd_core.run.embedded import cache_folder, embedded_path
from ukd_core.run.progress import Reporter
from ukd_core.run.sources import plan_source

CLIP, WARMUP, WEIGHT_DECAY = 1.0, 0.1, 0.01
"""Largest gradient norm, share of steps with a rising learning rate, AdamW decay: the same for every contender."""


@dataclass(frozen=True)
class Pair:
    """Who teaches whom."""

    teacher: str
    """"minilm": the embedded encoder with a random classifier; "base": 12 layers of width 768, all random."""
    student: str
    """As a recipe names it."""
    method: str = "universal-kd"


PAIRS: Mapping[str, Pair] = {
    "minilm-bert2": Pair("minilm", "bert:layers=2,init=teacher-lower"),
    "minilm-bilstm": Pair("minilm", "bilstm"),
    "base-bilstm": Pair("base", "bilstm"),
    "base-cnn": Pair("base", "cnn"),
}


@dataclass(frozen=True)
class Inputs:
    """The training rows as one model reads them, without padding."""

    source: LayerSource
    columns: Mapping[str, list[list[int]]]

    def batch(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """Some rows, padded to the longest of them."""
        return self.source.pad({key: [values[row] for row in rows] for key, values in self.columns.items()})

    def lengths(self) -> list[int]:
        """Tokens of each row."""
        return [len(ids) for ids in self.columns["input_ids"]]


class GroupedBatches(Sampler[list[int]]):
    """Batches of rows of like length, drawn anew at every iteration, as transformers' Trainer draws them.

    Args:
        lengths: Tokens of each row.
        size: Rows a batch.
        seed: Of the draws.
    """

    def __init__(self, lengths: Sequence[int], size: int, seed: int) -> None:
        self.size = size
        self.order = LengthGroupedSampler(size, lengths=list(lengths), generator=torch.Generator().manual_seed(seed))

    def __len__(self) -> int:
        return -(-len(self.order) // self.size)

    def __iter__(self) -> Iterator[list[int]]:
        rows = list(self.order)
        yield from (rows[start: start + self.size] for start in range(0, len(rows), self.size))


@dataclass(frozen=True)
class Contest:
    """Everything that is the same for all contenders."""

    options: argparse.Namespace
    pair: Pair
    folder: Path
    """Holds `teacher/` and `data/`; scratch otherwise."""
    teacher: Inputs
    student: Inputs
    labels: Tensor
    learning_rate: float
    device: torch.device

    def new_student(self) -> nn.Module:
        """The student's network before training; each call gives the same weights."""
        model: nn.Module = copy.deepcopy(self.student.source.model).to(self.device)
        return model

    def order(self, seed: int) -> GroupedBatches:
        """Batches for a live teacher: grouped as the teacher, the larger model, reads the rows."""
        return GroupedBatches(self.teacher.lengths(), self.options.batch_size, seed)

    def loader(self, seed: int) -> DataLoader[Any]:
        """Batches ``{"teacher": inputs, "student": inputs, "labels": (units,)}`` on the CPU."""
        def collate(rows: list[int]) -> dict[str, Any]:
            return {"teacher": self.teacher.batch(rows), "student": self.student.batch(rows),
                    "labels": self.labels[rows]}
        return DataLoader(range(len(self.labels)), batch_sampler=self.order(seed), collate_fn=collate)  # type: ignore[arg-type]

    def to_device(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A batch where the models are."""
        return {key: value.to(self.device, non_blocking=True) for key, value in batch.items()}

    def precision(self) -> AbstractContextManager[Any]:
        """bfloat16 autocast on a GPU, for everybody; nothing on a CPU."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")

    def optimizer(self, model: nn.Module, epochs: int) -> tuple[torch.optim.Optimizer, Any, dict[str, int]]:
        """Fused AdamW, and class-free arguments of its linear schedule."""
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=self.learning_rate, weight_decay=WEIGHT_DECAY, fused=True)
        steps = epochs * len(self.order(0))
        return optimizer, get_linear_schedule_with_warmup, {"num_warmup_steps": round(WARMUP * steps),
                                                           "num_training_steps": steps}


def command_line(question: str, pairs: bool = True) -> argparse.ArgumentParser:
    """The options that all comparisons take."""
    parser = argparse.ArgumentParser(description=question, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="texts with labels: anything that a recipe reads")
    parser.add_argument("--rows", type=int, default=2000, help="training rows, a random sample of the data")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--threads", type=int, help="of torch; default: its own")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any key of our recipe")
    if pairs:
        parser.add_argument("--pair", choices=PAIRS, default="minilm-bert2")
        parser.add_argument("--student", help="another student for the pair, as a recipe names it")
    return parser


@contextmanager
def prepared(options: argparse.Namespace, pair: Pair) -> Iterator[Contest]:
    """Write the rows and the teacher into a scratch folder and read both models."""
    if options.threads:
        torch.set_num_threads(options.threads)
    registry, cache = load_registry(), cache_folder()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts, labels, names = write_rows(options, folder / "data")
        write_teacher(pair.teacher, names, folder / "teacher")
        teacher = plan_source(str(folder / "teacher"), registry, cache, "teacher").load()
        space = registry.output_spaces.lookup("classes")(names)
        context = BuildContext(space, texts, teacher, options.max_length, 0)
        plan = plan_source(pair.student, registry, cache, "student")
        student = plan.kind.build(plan.options, context)
        device = torch.device(options.device)
        teacher.requires_grad_(False).eval().to(device)
        yield Contest(options, pair, folder, *(Inputs(source, source.tokenize(texts, max_length=options.max_length))
                                               for source in (teacher, student)),
                      labels=torch.tensor(labels), learning_rate=student.learning_rate, device=device)


def write_rows(options: argparse.Namespace, folder: Path) -> tuple[list[str], list[int], tuple[str, ...]]:
    """Sample rows into ``train.jsonl``; no validation file, so that nobody evaluates while the clock runs."""
    raw = read_data(options.data, validation_fraction=0.0, max_train_rows=options.rows)
    texts, found = raw.splits["train"]["text"][:], [str(label) for label in raw.splits["train"]["label"][:]]
    names = tuple(sorted(set(found)))
    folder.mkdir()
    with (folder / "train.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text, "label": label}) + "\n"
                        for text, label in zip(texts, found, strict=True))
    return texts, [names.index(label) for label in found], names


def write_teacher(kind: str, names: tuple[str, ...], folder: Path) -> None:
    """Save a classifier that always has the same weights; for timing its answers need not be good."""
    encoder = embedded_path("minilm", cache_folder())
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    settings = {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)},
                "problem_type": "single_label_classification"}
    set_seed(0)
    with quiet():
        if kind == "minilm":
            model = BertForSequenceClassification.from_pretrained(encoder, dtype=torch.float32, **settings)
        else:
            model = BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), **settings))
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def plain_training(contest: Contest, seed: int) -> float:
    """S: seconds of one epoch of the student on labels alone, in a plain loop over the same batches."""
    model = contest.new_student().train()
    optimizer, schedule_class, schedule_options = contest.optimizer(model, 1)
    schedule = schedule_class(optimizer, **schedule_options)
    loader = contest.loader(seed)
    batches = [(contest.student.batch(rows), contest.labels[rows]) for rows in loader.batch_sampler]  # type: ignore[union-attr]
    with clock(contest.device) as seconds:
        for inputs, labels in batches:
            with contest.precision():
                logits = model(**contest.to_device(inputs)).logits
            cross_entropy(logits.float(), labels.to(contest.device)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    return seconds[0]


def teacher_forward(contest: Contest, seed: int) -> float:
    """T: seconds of the teacher's forward pass over one epoch of the same batches, without gradients."""
    batches = [contest.teacher.batch(rows) for rows in contest.order(seed)]
    model = contest.teacher.source.model
    with clock(contest.device) as seconds, torch.inference_mode(), contest.precision():
        for inputs in batches:
            model(**contest.to_device(inputs))
    return seconds[0]


def ours(contest: Contest, cache: Path, seed: int, **changes: Any) -> dict[str, Any]:
    """`distill` on the same teacher, student and rows: its metrics, with the seconds of the whole call under "wall"."""
    options = contest.options
    extra = {key: yaml.safe_load(value) for key, _, value in (item.partition("=") for item in options.set)}
    with tempfile.TemporaryDirectory(dir=contest.folder) as output:
        recipe = Recipe.make({
            "teacher": str(contest.folder / "teacher"), "student": contest.pair.student,
            "data": str(contest.folder / "data"), "output": str(Path(output) / "run"), "method": contest.pair.method,
            "epochs": options.epochs, "batch_size": options.batch_size, "max_length": options.max_length,
            "validation_fraction": 0.0, "warmup": WARMUP, "weight_decay": WEIGHT_DECAY, "seed": seed,
            "device": options.device, "cache": str(cache), **extra, **changes})
        with clock(contest.device) as seconds:
            metrics = distill(recipe, reporter=Reporter(quiet=True))
    metrics["seconds"]["wall"] = seconds[0]
    return metrics


def cold_and_warm(contest: Contest, seed: int) -> dict[str, Any]:
    """Two runs on one new cache: the first asks the teacher, the second, with another seed, reads its answers."""
    with tempfile.TemporaryDirectory(dir=contest.folder) as cache:
        cold = ours(contest, Path(cache), seed)
        warm = ours(contest, Path(cache), seed + 1)
    forwarded = (cold["teacher_rows_forwarded"], warm["teacher_rows_forwarded"])
    if forwarded != (len(contest.labels), 0):
        raise SystemExit(f"expected the teacher to run once, on {len(contest.labels)} rows; it ran on {forwarded}")
    spent = cold["seconds"]
    return {"ours cold": spent["teacher_pass"] + spent["heads"] + spent["train"],
            "ours warm": warm["seconds"]["train"], "cold": spent, "warm": warm["seconds"]}


def compete(contest: Contest, name: str, train: Callable[[Contest, int], float]) -> None:
    """Measure everybody `repeats` times, each time in another order, and print the table.

    Args:
        contest: The same for all.
        name: Of the other contender.
        train: Trains a new student for all epochs with the batches of a seed; gives the seconds it took.
    """
    warm_up(contest, train)
    repeats: list[dict[str, Any]] = []
    turns: list[Callable[[int], dict[str, Any]]] = [
        lambda seed: {"S": plain_training(contest, seed)}, lambda seed: {"T": teacher_forward(contest, seed)},
        lambda seed: {name: train(contest, seed)}, lambda seed: cold_and_warm(contest, seed)]
    for number in range(contest.options.repeats):
        found: dict[str, Any] = {}
        for turn in turns[number % len(turns):] + turns[:number % len(turns)]:
            found |= turn(number)
        repeats.append(found | ratios(found, name, contest.options.epochs))
        show(repeats[-1:], name, f"repeat {number + 1}", head=number == 0)
    show(repeats, name, "median", head=False)
    for run in ("cold", "warm"):
        print(f"our seconds, {run}, median: " + ", ".join(
            f"{key} {median([each[run][key] for each in repeats]):.2f}" for key in repeats[0][run]))
    options = contest.options
    print(f"{contest.pair.teacher} teacher, student {contest.pair.student}, {len(contest.labels)} rows, "
          f"{options.epochs} epochs, batches of {options.batch_size}, {contest.device.type}, "
          f"{torch.get_num_threads()} threads; bounds: cold E(T+S)/(T+E·S), warm (T+S)/S")


def ratios(found: Mapping[str, Any], name: str, epochs: int) -> dict[str, float]:
    """How many times faster we are, what caching alone can give, and the one over the other."""
    plain, teacher = found["S"], found["T"]
    cold, warm = found[name] / found["ours cold"], found[name] / found["ours warm"]
    bounds = epochs * (teacher + plain) / (teacher + epochs * plain), (teacher + plain) / plain
    return {"cold ×": cold, "bound cold": bounds[0], "cold/bound": cold / bounds[0],
            "warm ×": warm, "bound warm": bounds[1], "warm/bound": warm / bounds[1]}


def show(repeats: Sequence[Mapping[str, Any]], name: str, title: str, *, head: bool) -> None:
    """One line: the median of each column over some repeats."""
    columns = ["S", "T", name, "ours cold", "ours warm", "cold ×", "bound cold", "cold/bound", "warm ×", "bound warm",
               "warm/bound"]
    if head:
        print(f"{'seconds':>10} " + " ".join(f"{column:>11}" for column in columns))
    print(f"{title:>10} " + " ".join(f"{median([each[column] for each in repeats]):11.2f}" for column in columns),
          flush=True)


def warm_up(contest: Contest, train: Callable[[Contest, int], float]) -> None:
    """Everybody once on few rows and one epoch, so that nobody pays for imports, first kernels and cold memory."""
    few = list(range(min(len(contest.labels), 2 * contest.options.batch_size)))
    options = argparse.Namespace(**{**vars(contest.options), "epochs": 1})
    changes: dict[str, Any] = {"max_train_rows": len(few)}
    small = Contest(options, contest.pair, contest.folder, *(
        Inputs(side.source, {key: [values[row] for row in few] for key, values in side.columns.items()})
        for side in (contest.teacher, contest.student)), labels=contest.labels[few],
        learning_rate=contest.learning_rate, device=contest.device)
    plain_training(small, 0)
    teacher_forward(small, 0)
    train(small, 0)
    with tempfile.TemporaryDirectory(dir=contest.folder) as cache:
        ours(small, Path(cache), 0, **changes)


@contextmanager
def clock(device: torch.device) -> Iterator[list[float]]:
    """Seconds of the block, as the only item of a list that is filled at its end; a GPU has then finished."""
    spent: list[float] = []
    finish(device)
    start = time.perf_counter()
    yield spent
    finish(device)
    spent.append(time.perf_counter() - start)


def finish(device: torch.device) -> None:
    """Wait for what a GPU still has to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
