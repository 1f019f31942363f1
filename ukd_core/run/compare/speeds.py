"""How fast the models of a comparison answer, measured when all runs are done and nothing else is running."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ukd_core.run.answer import load_classifier
from ukd_core.run.compare.grid import BASELINE, Cell, Grid
from ukd_core.run.files import write_text
from ukd_core.run.forward import classify
from ukd_core.run.plan import make_plan
from ukd_core.run.rows import TokenizedRows
from ukd_core.run.speed import Speed, measure_speed
from ukd_core.run.teacher import read_teacher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ukd_core.layer_source import LayerSource
    from ukd_core.plugins import Registry

FILE = "speed.json"
SECONDS = 0.25
"""Spent on each of the two measurements of a model."""
MOST_TEXTS = 512


def measured_speeds(grid: Grid, registry: Registry) -> dict[str, Any]:
    """The speed of the teacher and of each student on the CPU; written to ``speed.json``, and read from there again.

    A student is measured in the run of its first seed: methods do not change how fast it answers.

    Returns:
        "teacher": a `Speed` as a dict; "students": the same by student.
    """
    kept = read_speeds(grid.output)
    if set(grid.students) <= set(kept.get("students", ())):
        return kept
    plan = make_plan(grid.recipe(next(iter(grid))))
    split = next(name for name in ("validation", "test", "train") if name in plan.data.splits)
    rows = plan.data.splits[split].select(range(min(MOST_TEXTS, len(plan.data.splits[split]))))
    texts, pairs = rows["text"][:], rows["pair"][:] if plan.data.pairs else None
    limit = plan.recipe.max_length
    # Whether its classifier has learned anything yet changes nothing about its speed.
    found: dict[str, Any] = {
        "teacher": asdict(_speed(read_teacher(plan.teacher, plan.data, plan.recipe)[0], texts, pairs, limit)),
        "students": {}}
    for student in grid.students:
        source, _ = load_classifier(str(grid.folder(Cell(student, BASELINE, 0))), registry, plan.cache)
        found["students"][student] = asdict(_speed(source, texts, pairs, limit))
    write_text(grid.output / FILE, json.dumps(found, indent=2) + "\n")
    return found


def read_speeds(folder: Path) -> dict[str, Any]:
    """What was measured in a comparison's folder; empty where nothing was."""
    path = folder / FILE
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _speed(source: LayerSource, texts: Sequence[str], pairs: Sequence[str] | None, limit: int) -> Speed:
    source.eval()
    return measure_speed(lambda some, second: classify(source, TokenizedRows.of(source, some, second, limit)), texts,
                         pairs, seconds=SECONDS)
