"""Sentences a second from text to answer, one thread, side by side: teacher, students in every form, the usual others.

    python benchmarks/deploy_speed.py --teacher runs/my-teacher --data DATA --output work

Students are taught by logit-kd (runs that `work` holds already are read), exported as ONNX in float32 and int8, and
measured in turns with the teacher (torch, ONNX, int8) and the alternatives that ``--alternatives`` of ``ukd distill``
knows. Quality is that of the validation split, size that of the folder (of all that answering needs, for the others).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ukd_core import OutputSpace, Recipe
from ukd_core.plugins import load_registry
from ukd_core.run.alternatives import ALTERNATIVES, Fitted, Task
from ukd_core.run.answer import StoredModel, TorchModel, load_model, read_task, stored_length, texts_of
from ukd_core.run.bench import Measured, bench_table, in_turns, use_threads
from ukd_core.run.data import TaskData
from ukd_core.run.distill import completed
from ukd_core.run.embedded import cache_folder
from ukd_core.run.export.folders import FORMATS, export
from ukd_core.run.export.tokenizer import Reader, standalone_tokenizer
from ukd_core.run.progress import Reporter
from ukd_core.run.teacher import Teacher
from ukd_core.run.trainer import evaluate_scores
from ukd_core.spec import split_specs

STUDENTS = "bag:embeddings=random,cnn,bilstm,bert:layers=2,init=teacher-lower"


class Other(StoredModel):
    """What a user would pick instead, fitted to the same rows.

    Args:
        name: In the table.
        space: Of the task.
        fitted: The model.
    """

    def __init__(self, name: str, space: OutputSpace, fitted: Fitted) -> None:
        super().__init__(name, space, fitted.bytes, fitted.parameters or 0)
        self.fitted = fitted

    def answer(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Tensor:
        """Scores as the space has them, shape (texts, C)."""
        return torch.from_numpy(self.fitted.answer(texts, pairs)).float()


def others(rows: TaskData, teacher: StoredModel) -> Iterator[StoredModel]:
    """Every alternative but the int8 teacher, which is among the exported ones already."""
    if not isinstance(teacher, TorchModel):
        raise SystemExit(f"expected a teacher that torch runs, got '{teacher.name}'")
    _, texts, pairs = texts_of(rows, teacher.name, "train")
    length = stored_length(teacher.source)
    task = Task(texts, pairs, rows.labels("train").numpy(), rows.space, 0, length,
                lambda: Teacher(teacher.source, probe=False))
    for name, alternative in ALTERNATIVES.items():
        if name != "teacher-int8":
            yield Other(alternative.title, rows.space, alternative.fit(task))


def stored(names: Sequence[str], work: Path, data: str, cache: Path) -> Iterator[StoredModel]:
    """Each run or teacher as it is and in both ONNX forms."""
    registry = load_registry()
    for name in names:
        yield load_model(name, registry, cache)
        for form in FORMATS[1:]:
            folder = work / "exported" / f"{Path(name).name}-{form}"
            if not folder.is_dir():
                told = export(name, form, registry, cache, output=str(folder), data=data)
                print(told)
            yield load_model(str(folder), registry, cache, threads=1)


def tokenizing(model: TorchModel, texts: list[str]) -> float:
    """Texts a second that the tokenizer alone makes ready in batches of 32: what no model of this tokenizer exceeds."""
    reader = Reader(standalone_tokenizer(model.source, stored_length(model.source)), ["input_ids", "attention_mask"])

    class Ready(StoredModel):
        def answer(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Tensor:
            return torch.from_numpy(reader.read(texts, pairs)["input_ids"])
    return in_turns([Ready(model.name, model.space, 0, 0)], texts, None, 3, 0.3)[0].per_second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True, help="a stored classifier")
    parser.add_argument("--data", required=True)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--students", default=STUDENTS)
    parser.add_argument("--rows", type=int, default=None, help="training rows")
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    options = parser.parse_args()
    use_threads(1)
    cache = cache_folder()
    runs = []
    for student in split_specs(options.students):
        runs.append(str(options.output / student.split(":")[0]))
        completed(Recipe.make({"teacher": options.teacher, "student": student, "data": options.data, "device": "cpu",
                               "method": "logit-kd", "output": runs[-1], "max_train_rows": options.rows,
                               "epochs": options.epochs, "max_length": 64}), Reporter())
    models = list(stored([options.teacher, *runs], options.output, options.data, cache))
    task = read_task(options.data, models[0].space, cache, max_train_rows=options.rows)
    _, texts, pairs = texts_of(task, options.data, "validation")
    models += others(task, models[0])
    quality = [evaluate_scores(model.answer(texts, pairs), task.labels("validation"), task.space)[task.space.metric]
               for model in models]
    speeds = in_turns(models, texts, pairs, options.repeats, options.seconds)
    found = [Measured(model.name, model.parameters, model.bytes, speed, score, task.space.metric)
             for model, speed, score in zip(models, speeds, quality, strict=True)]
    print(bench_table(found))
    for model in models:
        if isinstance(model, TorchModel):
            print(f"tokenizing alone, {model.name}: {tokenizing(model, texts):,.0f} texts/s")
    (options.output / "speed.json").write_text(json.dumps([{
        "model": part.name, "parameters": part.parameters, "bytes": part.bytes, "p50_ms": part.speed.p50_ms,
        "p95_ms": part.speed.p95_ms, "per_second": part.speed.per_second, part.metric: part.quality}
        for part in found], indent=2) + "\n")


if __name__ == "__main__":
    main()
