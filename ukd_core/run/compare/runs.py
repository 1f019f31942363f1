"""Doing the runs of a grid: one after another here, or several at once in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ukd_core.errors import InputError
from ukd_core.run.distill import completed, make_plan
from ukd_core.run.output import finished_metrics
from ukd_core.run.progress import Reporter
from ukd_core.run.recipe import Recipe

if TYPE_CHECKING:
    from ukd_core.run.compare.grid import Cell, Grid


def run_grid(grid: Grid, jobs: int, reporter: Reporter) -> dict[Cell, dict[str, Any]]:
    """Do every run that is not complete yet; the metrics of all of them.

    The first run makes the teacher's answers, the others read them. A comparison that was stopped goes on where it
    was: complete runs are read, an unfinished one is resumed.

    Args:
        grid: The runs.
        jobs: Runs at a time; more than one makes a process for each, which share the processor's cores.
        reporter: Gets a line a run.
    """
    for student in grid.students:  # every name and option is checked before the first run begins
        for method in grid.methods:
            make_plan(grid.recipe(next(cell for cell in grid if cell[:2] == (student, method))))
    grid.claim()
    done: dict[Cell, dict[str, Any]] = {}

    def note(cell: Cell, metrics: dict[str, Any]) -> None:
        done[cell] = metrics
        scores = ", ".join(f"{name} {score:.4f}" for name, score in metrics["student"]["metrics"].items())
        reporter.say(f"{len(done)}/{len(grid)} {cell.student}, {cell.method}, seed {cell.seed}: "
                     f"{scores or 'not scored'} ({metrics['seconds']['train']:.0f} s)")

    cells = list(grid)
    if jobs == 1:
        for cell in cells:
            note(cell, completed(grid.recipe(cell), Reporter(quiet=True)))
        return done
    note(cells[0], completed(grid.recipe(cells[0]), Reporter(quiet=True)))
    with ThreadPoolExecutor(jobs) as pool:
        waiting = {pool.submit(_in_a_process, grid.recipe(cell), jobs): cell for cell in cells[1:]}
        try:
            for future in as_completed(waiting):
                note(waiting[future], future.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return {cell: done[cell] for cell in cells}


def _in_a_process(recipe: Recipe, jobs: int) -> dict[str, Any]:
    folder = Path(recipe.output)
    if metrics := finished_metrics(folder):
        return metrics
    folder.parent.mkdir(parents=True, exist_ok=True)
    asked = folder.with_name(f"{folder.name}.yaml")
    recipe.write(asked)
    resume = ["--resume"] if (folder / "recipe.yaml").is_file() else []
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    ended = subprocess.run([sys.executable, "-m", "ukd_core.cli", "distill", "--recipe", str(asked), *resume],
                           env={**os.environ, "OMP_NUM_THREADS": threads}, capture_output=True, text=True, check=False)
    asked.unlink(missing_ok=True)
    metrics = finished_metrics(folder)
    if metrics is None:
        raise InputError(f"run '{folder}'", (ended.stderr.strip().splitlines() or ["it ended without a word"])[-1],
                         "Start the same comparison again to go on.")
    return metrics
