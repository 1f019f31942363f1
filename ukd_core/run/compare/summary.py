"""What a comparison came to: one tidy table of runs, and one of methods with differences and their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import mean, median, stdev
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
from safetensors.torch import load

from ukd_core.run.combination import find_method
from ukd_core.run.compare.bootstrap import Interval
from ukd_core.run.compare.constant import Constant, best_constant
from ukd_core.run.compare.grid import AT, BASELINE, Cell, Grid
from ukd_core.run.compare.judge import Judge
from ukd_core.run.files import write_text
from ukd_core.run.live import runs_live
from ukd_core.run.table import text_table
from ukd_core.silence import quiet

if TYPE_CHECKING:
    from ukd_core.output_space import OutputSpace
    from ukd_core.plugins import Registry

RIVAL = "logit-kd"
"""What methods on intermediate layers are compared with besides the baseline, where it takes part."""
HEADER = ("method", "score", "rank", f"over {BASELINE}", f"over {RIVAL}", "agreement", "train s")


@dataclass(frozen=True, slots=True)
class MethodRow:
    """All seeds of one method with one student."""

    student: str
    method: str
    scores: tuple[float, ...]
    """Of each seed, in the metric of the comparison."""
    rank: int
    """Among the methods of the student, by the mean; 1 is best."""
    over: Mapping[str, Interval]
    """Difference from the baseline and from the rival; neither has one from itself."""
    agreement: float | None
    """Share of rows on which student and teacher answer the same, mean over seeds."""
    seconds: float
    """Of training, median over seeds."""


@dataclass(frozen=True)
class Summary:
    """The tables of a comparison, and what stands above them."""

    title: str
    notes: tuple[str, ...]
    rows: tuple[MethodRow, ...]

    def text(self) -> str:
        """For the terminal: a table a student."""
        tables = [text_table(f"{student}: {self.title}", HEADER, [_cells(row, "\n") for row in rows], (2, 5, 6))
                  for student, rows in groupby(self.rows, key=lambda row: row.student)]
        return "\n\n".join([*tables, "\n".join(self.notes)])

    def markdown(self) -> str:
        """For a file: one table."""
        lines = [f"# {self.title}", "", f"| student | {' | '.join(HEADER)} |", "|---" * (len(HEADER) + 1) + "|",
                 *(f"| {' | '.join(_in_a_table(cell) for cell in (row.student, *_cells(row, ' ')))} |"
                   for row in self.rows), "",
                 *(f"{note}\n" for note in self.notes)]
        return "\n".join(lines)


def _in_a_table(cell: str) -> str:
    """A cell of a Markdown table: a bar in the name of a folder would end it."""
    return cell.replace("|", "\\|")


def _cells(row: MethodRow, between: str) -> tuple[str, ...]:
    """A row under `HEADER`, with `between` in front of an interval."""
    sd = f" ± {stdev(row.scores):.4f}" if len(row.scores) > 1 else ""
    found = [row.over.get(other) for other in (BASELINE, RIVAL)]
    compared = ["" if each is None else f"{each.mean:+.4f} {each.verdict}{between}[{each.low:+.4f}, {each.high:+.4f}]"
                for each in found]
    return (row.method, f"{mean(row.scores):.4f}{sd}", str(row.rank), *compared,
            "" if row.agreement is None else f"{row.agreement:.4f}", f"{row.seconds:.0f}")


def summarise(grid: Grid, done: Mapping[Cell, Mapping[str, Any]], registry: Registry) -> Summary:
    """Compare the runs of a grid and write ``runs.csv``, ``runs.parquet`` and ``summary.md`` into its folder."""
    _write_runs(grid, done)
    summary = summary_of(grid, done, registry)
    write_text(grid.output / "summary.md", summary.markdown())
    return summary


def summary_of(grid: Grid, done: Mapping[Cell, Mapping[str, Any]], registry: Registry) -> Summary:
    """Compare the runs of a grid; writes nothing."""
    first = next(iter(done.values()))
    split = first["evaluated_on"]
    recipe = grid.recipe(next(iter(grid)))
    space = registry.output_spaces.lookup(recipe.output_space)(first["labels"])
    space.metric = recipe.metric or space.metric
    rows = [row for student in grid.students for row in _of_student(grid, student, done, space, split)]
    _, labels = _predictions(grid.folder(next(iter(grid))), space, split)
    notes = (*_notes(grid, first, registry), *constant_note(best_constant(space, labels), space, rows))
    return Summary(_title(grid, first, space, split), notes, tuple(rows))


def _of_student(grid: Grid, student: str, done: Mapping[Cell, Mapping[str, Any]], space: OutputSpace, split: str
                ) -> Iterator[MethodRow]:
    scored = {method: [done[Cell(student, method, seed)] for seed in range(grid.seeds)] for method in grid.methods}
    scores = {method: tuple(float(run["student"]["metrics"][space.metric]) for run in runs)
              for method, runs in scored.items()}
    answered = {method: [_predictions(grid.folder(Cell(student, method, seed)), space, split)
                         for seed in range(grid.seeds)] for method in grid.methods}
    judge = Judge(space, answered[BASELINE][0][1])
    predictions = {method: np.stack([each for each, _ in runs]) for method, runs in answered.items()}
    order = sorted(grid.methods, key=lambda method: -mean(scores[method]))

    for method in grid.methods:
        over = {other: judge.difference(predictions[method], predictions[other])
                for other in (BASELINE, RIVAL) if other in grid.methods and method not in (BASELINE, other)}
        agreement = [run["agreement"][split] for run in scored[method]]
        yield MethodRow(student, method, scores[method], order.index(method) + 1, over,
                        None if None in agreement else mean(agreement),
                        median(run["seconds"]["train"] for run in scored[method]))


def _predictions(folder: Path, space: OutputSpace, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Of the labelled rows: what the student answered, and the labels."""
    stored = load((folder / "answers.safetensors").read_bytes())
    labels = stored[f"{split}.labels"]
    known = space.is_labelled(labels)
    return space.predictions(stored[f"{split}.student"][known]).numpy(), labels[known].numpy()


def _title(grid: Grid, first: Mapping[str, Any], space: OutputSpace, split: str) -> str:
    teacher = first["teacher"]
    return (f"{space.metric} on {split} ({first['rows'][split]:,} rows), {grid.seeds} "
            f"seed{'s' if grid.seeds > 1 else ''}; teacher {teacher['name']} "
            f"{teacher['metrics'][space.metric]:.4f}")


def _notes(grid: Grid, first: Mapping[str, Any], registry: Registry) -> tuple[str, ...]:
    recipe = grid.recipe(next(iter(grid)))
    found = {name: find_method(name.partition(AT)[0], registry) for name in grid.methods}
    phases = ", ".join(f"{name} {len(method.phases)}" for name, method in found.items())
    more = [f"{name} trains {method.assistants} assistant{'s' * (method.assistants > 1)} before the student"
            for name, method in found.items() if method.assistants and not recipe.assistants]
    more += [f"{name} runs the teacher in every step" for name, method in found.items()
             if runs_live(method.phases, registry)]
    return (
        f"Differences are paired by seed and row; in brackets the 95 % interval of a bootstrap over both. All runs: "
        f"{first['rows']['train']:,} training rows, {recipe.epochs:g} passes in batches of {recipe.batch_size}, the "
        f"same learning rate for a student whatever the method. What differs: the phases of the methods ({phases})"
        f"{''.join(f'; {each}' for each in more)}.",
        "An interval says nothing about other data, and of many comparisons some look good by chance.")


def constant_note(constant: Constant | None, space: OutputSpace, rows: Sequence[MethodRow]) -> Iterator[str]:
    """What a score has to beat before it means anything, and who does not."""
    if constant is None:
        return
    below = [f"{row.method} ({row.student})" for row in rows if mean(row.scores) <= constant.score]
    which = ("every method is above that" if not below else "no method is above that" if len(below) == len(rows)
             else f"not above that: {', '.join(below)}")
    yield f"{constant.answer!r} as the answer to every row has {space.metric} {constant.score:.4f}; {which}."


def _write_runs(grid: Grid, done: Mapping[Cell, Mapping[str, Any]]) -> None:
    """One row a run."""
    rows = []
    for cell, metrics in done.items():
        split = metrics["evaluated_on"]
        rows.append({**cell._asdict(), "split": split, **metrics["student"]["metrics"],
                     "agreement": metrics["agreement"].get(split), "parameters": metrics["student"]["parameters"],
                     "train_seconds": metrics["seconds"]["train"],
                     "teacher_rows_forwarded": metrics["teacher_rows_forwarded"],
                     "folder": grid.folder(cell).relative_to(grid.output).as_posix()})
    table = datasets.Dataset.from_list(rows)
    for name, write in (("runs.csv", table.to_csv), ("runs.parquet", table.to_parquet)):
        scratch = grid.output / f".{name}.partial"
        with quiet():
            write(str(scratch))
        scratch.replace(grid.output / name)
