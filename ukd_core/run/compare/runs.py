"""Doing the runs of a grid: one after another here, or several at once in processes of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from ukd_core.errors import InputError
from ukd_core.run.combination import find_method
from ukd_core.run.compare.children import Children
from ukd_core.run.compare.grid import Cell
from ukd_core.run.distill import completed
from ukd_core.run.output import finished_metrics
from ukd_core.run.phases import check_phases, needs_states, usable_phases
from ukd_core.run.plan import make_plan
from ukd_core.run.progress import Reporter
from ukd_core.run.recipe import Recipe
from ukd_core.run.table import text_table

if TYPE_CHECKING:
    from ukd_core.run.compare.grid import Grid


def run_grid(grid: Grid, jobs: int, reporter: Reporter) -> dict[Cell, dict[str, Any]]:
    """Do every run that is not complete yet; the metrics of all of them.

    The first run makes the teacher's answers, the others read them. A comparison that was stopped goes on where it
    was: complete runs are read, an unfinished one is resumed.

    Args:
        grid: The runs.
        jobs: Runs at a time; more than one makes a process for each, which share the processor's cores.
        reporter: Gets a line a run and, on a terminal, a table that is redrawn.
    """
    states = _check(grid)
    grid.claim()
    first, *others = grid
    # It says how far the teacher's fine-tuning and its one pass are, and keeps what any of the methods needs of it.
    done = {first: completed(grid.recipe(first), reporter, keep_states=states)}
    _say(reporter, grid, done, first)
    with reporter.board() as show, closing(_each(grid, others, jobs)) as runs:
        for cell, metrics in runs:
            done[cell] = metrics
            _say(reporter, grid, done, cell)
            show(board(grid, done))
    return {cell: done[cell] for cell in grid}


def board(grid: Grid, done: Mapping[Cell, Mapping[str, Any]]) -> str:
    """How far a comparison is: for each student and method the mean score of the seeds that are done, and how many."""
    rows = []
    for method in grid.methods:
        row = [method]
        for student in grid.students:
            scores = [run["student"]["metrics"][run["metric"]] for cell, run in done.items()
                      if cell[:2] == (student, method) and run["student"]["metrics"]]
            row.append(f"{mean(scores):.4f} ({len(scores)})" if scores else "")
        rows.append(row)
    return text_table(f"{len(done)} of {len(grid)} runs", ["method", *grid.students], rows,
                      range(1, len(grid.students) + 1))


def _check(grid: Grid) -> bool:
    """Read the data and look up every name and option before the first run begins; whether a method needs states."""
    for student in grid.students:
        plan = make_plan(grid.recipe(Cell(student, grid.methods[0], 0)))
    if not any(plan.data.labelled(split).any() for split in plan.data.splits if split != "train"):
        raise InputError("ukd compare", "expected labelled validation or test rows, got none",
                         "Give the data a validation or test file, or --validation-fraction.")
    states = False
    for method in grid.methods:
        recipe = grid.recipe(Cell(grid.students[0], method, 0))
        phases = recipe.phases or find_method(recipe.method, plan.registry).phases
        check_phases(phases, recipe, plan.registry)
        usable_phases(phases, plan.registry, plan.data)
        states = states or needs_states(phases, plan.registry)
    return states


def _say(reporter: Reporter, grid: Grid, done: Mapping[Cell, Mapping[str, Any]], cell: Cell) -> None:
    metrics = done[cell]
    scores = ", ".join(f"{name} {score:.4f}" for name, score in metrics["student"]["metrics"].items())
    reporter.say(f"{len(done)}/{len(grid)} {cell.student}, {cell.method}, seed {cell.seed}: "
                 f"{scores or 'not scored'} ({metrics['seconds']['train']:.0f} s)")


def _each(grid: Grid, cells: Sequence[Cell], jobs: int) -> Generator[tuple[Cell, dict[str, Any]]]:
    """The runs of some cells as they end: here in their order, or in several processes at once.

    Where one fails, or all are stopped, the others end too: what they have is kept, and nobody waits for hours.
    """
    if jobs == 1:
        yield from ((cell, completed(grid.recipe(cell), Reporter(quiet=True), check=False)) for cell in cells)
        return
    children = Children()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            waiting = {pool.submit(_in_a_process, grid.recipe(cell), jobs, children): cell for cell in cells}
            yield from ((waiting[future], future.result()) for future in as_completed(waiting))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            children.stop()
            raise


def _in_a_process(recipe: Recipe, jobs: int, children: Children) -> dict[str, Any]:
    folder = Path(recipe.output)
    if metrics := finished_metrics(folder):
        return metrics
    folder.parent.mkdir(parents=True, exist_ok=True)
    asked = folder.with_name(f"{folder.name}.yaml")
    recipe.write(asked)
    resume = ["--resume"] if (folder / "recipe.yaml").is_file() else []
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    try:
        status, errors = children.run([sys.executable, "-m", "ukd_core.cli", "distill", "--recipe", str(asked),
                                       "--no-speed", "--no-check", *resume, *recipe.code_options()],
                                      OMP_NUM_THREADS=threads)
    finally:
        asked.unlink(missing_ok=True)
    metrics = finished_metrics(folder)
    if metrics is None:
        raise InputError(f"run '{folder}'", f"exit status {status}: {_error(errors)}",
                         "Start the same comparison again to go on.")
    return metrics


def _error(text: str) -> str:
    """The error among what a process wrote."""
    errors = [line.removeprefix("ukd: ") for line in text.splitlines() if line.startswith("ukd: ")]
    return errors[-1].rstrip(".") if errors else "no word of why"
