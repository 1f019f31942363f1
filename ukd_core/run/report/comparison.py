"""The page of a comparison: from what its folder holds to HTML."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from ukd_core.errors import InputError
from ukd_core.plugins import load_registry
from ukd_core.run.compare.grid import BASELINE, NOTE, Cell, Grid, read_note
from ukd_core.run.compare.speeds import read_speeds
from ukd_core.run.compare.summary import HEADER, RIVAL, MethodRow, Summary, summary_of
from ukd_core.run.output import finished_metrics
from ukd_core.run.report import figures
from ukd_core.run.report.command import compare_command
from ukd_core.run.report.page import Drawn
from ukd_core.run.report.render import render, signed
from ukd_core.run.report.svg import GLYPHS, SERIES

if TYPE_CHECKING:
    from markupsafe import Markup

    from ukd_core.plugins import Registry

RUNS = "runs.csv"


@dataclass(frozen=True, slots=True)
class StudentPart:
    """All about one student."""

    name: str
    rows: tuple[MethodRow, ...]
    figures: tuple[Drawn, ...]
    """Differences, one figure for each side that methods are compared with."""
    words: str


def is_comparison(folder: Path) -> bool:
    """Whether ``ukd compare`` made the folder."""
    return (folder / NOTE).is_file()


def comparison_page(folder: Path, registry: Registry | None = None) -> str:
    """The page of a comparison whose runs are all done, as HTML; plug-ins that its recipe names are not loaded.

    Raises:
        InputError: it is not finished.
    """
    grid, done = read_comparison(folder)
    summary = summary_of(grid, done, registry or load_registry())
    speeds = read_speeds(folder)
    first = next(iter(done.values()))
    settings = {key: value for key, value in grid.settings.items() if key not in ("method", "seed", "student")}
    return render(
        "comparison.html", grid=grid, first=first, summary=summary, header=HEADER, speeds=speeds,
        legend=[(GLYPHS[number % len(GLYPHS)], f"series-{number % len(SERIES)}", method)
             for number, method in enumerate(grid.methods)],
        parts=list(_parts(summary, first["metric"])), front=_front(grid, summary, speeds, first),
        runs=[(cell, metrics) for cell, metrics in done.items()], stdev=stdev, mean=mean, baseline=BASELINE,
        rival=RIVAL, command=compare_command(settings, grid.students, grid.methods, grid.seeds, str(folder)))


def read_comparison(folder: Path) -> tuple[Grid, dict[Cell, Mapping[str, Any]]]:
    """The runs of a comparison as its last ``runs.csv`` lists them, with their metrics.

    Raises:
        InputError: it is not finished, or a run of it is gone.
    """
    where = f"report '{folder}'"
    path = folder / RUNS
    if not path.is_file():
        raise InputError(where, "expected a finished comparison, got one without runs.csv",
                         "Start the same ukd compare again to go on.")
    with path.open(newline="", encoding="utf-8") as file:
        listed = [Cell(row["student"], row["method"], int(row["seed"])) for row in csv.DictReader(file)]
    grid = Grid.make(read_note(folder), list(dict.fromkeys(cell.student for cell in listed)),
                     list(dict.fromkeys(cell.method for cell in listed)), 1 + max(cell.seed for cell in listed), folder)
    done: dict[Cell, Mapping[str, Any]] = {}
    for cell in grid:
        metrics = finished_metrics(grid.folder(cell))
        if metrics is None:
            raise InputError(where, f"the run '{grid.folder(cell)}' is gone", "Start the same ukd compare again.")
        done[cell] = metrics
    return grid, done


def _parts(summary: Summary, metric: str) -> Iterator[StudentPart]:
    for number, (student, group) in enumerate(groupby(summary.rows, key=lambda row: row.student)):
        rows = tuple(group)
        drawn = tuple(figure for other in (BASELINE, RIVAL)
                      if (figure := _differences(rows, other, f"differences{number}-{other}", metric)) is not None)
        yield StudentPart(student, rows, drawn, _words(rows))


def _differences(rows: Sequence[MethodRow], other: str, name: str, metric: str) -> Drawn | None:
    bars = [figures.Bar(row.method, found.mean, found.low, found.high, found.verdict)
            for row in rows if (found := row.over.get(other)) is not None]
    if not bars:
        return None
    svg: Markup = figures.interval_figure(bars, name, other, metric)
    listed = tuple((bar.name, signed(bar.mean), signed(bar.low), signed(bar.high), bar.word) for bar in bars)
    return Drawn(svg, ("method", f"over {other}", "from", "to", "verdict"), listed)


def _words(rows: Sequence[MethodRow]) -> str:
    """What the methods did for one student, in a sentence or two."""
    by_word: dict[str, list[str]] = {}
    for row in rows:
        if BASELINE in row.over:
            by_word.setdefault(row.over[BASELINE].verdict, []).append(row.method)
    said = {"helped": "helped", "did not help": "did not help", "within noise": "within noise of labels alone"}
    return " ".join(f"{', '.join(by_word[word])}: {told}." for word, told in said.items() if word in by_word)


def _front(grid: Grid, summary: Summary, speeds: Mapping[str, Any], first: Mapping[str, Any]) -> Drawn | None:
    """Quality against latency of the teacher and of every student by every method."""
    if not set(grid.students) <= set(speeds.get("students", ())):
        return None
    best = {student: max((row for row in summary.rows if row.student == student), key=lambda row: mean(row.scores))
            for student in grid.students}
    points = [figures.Point("teacher", speeds["teacher"]["p50_ms"], first["teacher"]["metrics"][first["metric"]],
                            role="reference")]
    for row in summary.rows:
        number, middle = grid.methods.index(row.method), mean(row.scores)
        # Methods of one student are equally fast: they stand a little apart so that their bars do not cover each other.
        apart = 1.0 + 0.03 * (number - (len(grid.methods) - 1) / 2)
        spread = stdev(row.scores) if len(row.scores) > 1 else None
        points.append(figures.Point(
            row.student, speeds["students"][row.student]["p50_ms"] * apart, middle,
            None if spread is None else middle - spread, None if spread is None else middle + spread,
            series=number, labelled=row is best[row.student]))
    listed = [("teacher", "", f"{points[0].ms:.2f}", f"{points[0].score:.4f}"),
              *((row.student, row.method, f"{speeds['students'][row.student]['p50_ms']:.2f}", f"{mean(row.scores):.4f}")
                for row in summary.rows)]
    return Drawn(figures.front_figure(points, first["metric"]), ("model", "method", "ms", first["metric"]),
                 tuple(listed))
