"""How fast the models of a comparison answer, measured when all runs are done and nothing else is running."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ukd_core.run.answer import load_classifier
from ukd_core.run.compare.grid import BASELINE, Cell, Grid
from ukd_core.run.files import write_text
from ukd_core.run.measuring import answering, real_texts, timed
from ukd_core.run.plan import make_plan
from ukd_core.run.teacher import read_teacher

if TYPE_CHECKING:
    from ukd_core.layer_source import LayerSource
    from ukd_core.plugins import Registry

FILE = "speed.json"


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
    texts, pairs = real_texts(plan.data)

    def speed(source: LayerSource) -> dict[str, Any]:
        return asdict(timed(answering(source.eval(), plan.recipe.max_length), texts, pairs))

    # Whether its classifier has learned anything yet changes nothing about its speed.
    found: dict[str, Any] = {"teacher": speed(read_teacher(plan.teacher, plan.data, plan.recipe)[0]), "students": {}}
    for student in grid.students:
        source, _ = load_classifier(str(grid.folder(Cell(student, BASELINE, 0))), registry, plan.cache)
        found["students"][student] = speed(source)
    write_text(grid.output / FILE, json.dumps(found, indent=2) + "\n")
    return found


def read_speeds(folder: Path) -> dict[str, Any]:
    """What was measured in a comparison's folder; empty where nothing was."""
    path = folder / FILE
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
