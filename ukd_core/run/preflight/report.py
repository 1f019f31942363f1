"""The preflight of a run: everything looked up, one batch tried, all that is wrong told at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from ukd_core.errors import Problems, UKDError
from ukd_core.run.cache.answers import entry_size
from ukd_core.run.output import claim_output
from ukd_core.run.phases import needs_states
from ukd_core.run.plan import Plan, answer_settings, make_plan
from ukd_core.run.preflight.begin import Begun, begin
from ukd_core.run.preflight.costs import pass_bytes
from ukd_core.run.preflight.findings import reading_warnings, task_warnings
from ukd_core.run.preflight.reading import SAMPLE, Reading, read_lengths
from ukd_core.run.preflight.trial import Trial, make_trial

if TYPE_CHECKING:
    from ukd_core.layer_source import LayerSource
    from ukd_core.run.recipe import Recipe

MOST_ROWS = 64
"""Rows of the batch at most, however large the batches of the run are."""
FEW_ROWS, FEW_TEXTS = 4, 200
"""Rows and texts of the sample where nothing is measured."""
OPTIMIZER = 2
"""Numbers that AdamW keeps for each weight that it trains."""
ENGINE = 64 << 20
"""Bytes that the training engine and its threads hold beside what they compute, as measured with students of several
sizes."""
EACH_ROW = 6 * 8
"""Bytes for each training row: its label, number, length and beginning, and its place in a pass before and after rows
are sorted by length."""


@dataclass(frozen=True)
class Preflight:
    """What was found; the plan is None where something could not be looked up."""

    recipe: Recipe
    plan: Plan | None = None
    begun: Begun | None = None
    readings: Mapping[str, Reading] = field(default_factory=dict)
    """By side, teacher and student."""
    trial: Trial | None = None
    held: int = 0
    """Bytes of its own that the process holds with both models read, libraries included."""
    errors: tuple[UKDError, ...] = ()
    """What stops the run."""
    warnings: tuple[UKDError, ...] = ()
    """What does not stop it, but may not be meant."""

    def tell(self) -> None:
        """Raise the first error with the `others` beside it; nothing where there is none."""
        problems = Problems()
        problems.found = list(self.errors)
        problems.tell()

    def text(self) -> str:
        """The plan as tables, then a line for every error and warning."""
        from ukd_core.run.preflight.tables import whole_text
        return whole_text(self)

    def short(self) -> str:
        """The plan in a few lines, then a line for every warning."""
        from ukd_core.run.preflight.tables import short_text
        return short_text(self)

    def cache_bytes(self) -> tuple[int, int]:
        """Bytes of the teacher's answers on disk, and of the room that is needed while they are made."""
        if self.plan is None or self.begun is None:
            return 0, 0
        plan = self.plan
        settings = answer_settings(plan, False, plan.keep_states or needs_states(plan.phases, plan.registry))
        rows = {name: len(split) for name, split in plan.data.splits.items()}
        asked = [self.begun.teacher, *(source for _, source in self.begun.assistants)]
        sizes = [entry_size(source, rows, plan.data.space.size, settings) for source in asked]
        return sum(kept for kept, _ in sizes), max(needed for _, needed in sizes)

    def pass_seconds(self) -> float:
        """Estimated seconds of the teacher pass on this CPU."""
        if self.plan is None or self.trial is None or self.trial.tokens_per_second is None:
            return 0.0
        rows, reading = sum(map(len, self.plan.data.splits.values())), self.readings["teacher"]
        return rows * (reading.seconds + reading.mean / self.trial.tokens_per_second)

    def pass_bytes(self) -> int:
        """Estimated bytes that the teacher pass needs besides the models."""
        if self.plan is None or self.begun is None:
            return 0
        rows = {name: len(split) for name, split in self.plan.data.splits.items()}
        return pass_bytes(self.begun.teacher, rows, self.plan.data.space.size, self.plan.recipe.head_rows)

    def training_bytes(self, activations: int) -> int:
        """Estimated bytes of training besides the models: gradients, AdamW's moments, activations, engine and rows.

        Args:
            activations: What the backward pass of a step needs, as the trial measured it.
        """
        if self.plan is None or self.trial is None:
            return 0
        rows = EACH_ROW * len(self.plan.data.splits["train"])
        return 4 * (1 + OPTIMIZER) * self.trial.learned + activations + ENGINE + rows

    def peak_bytes(self) -> int:
        """Estimated most memory of its own that the process will hold: with the models read, and the largest need."""
        phases = () if self.trial is None else self.trial.phases
        training = [self.training_bytes(each.activations) for each in phases if each.activations is not None]
        return self.held + max([self.pass_bytes(), *training])


def preflight(recipe: Recipe, *, output: bool = True) -> Preflight:
    """Look up and read everything that a run needs, and try one batch of it on the CPU; trains and writes nothing.

    Called by ``ukd check``. What it may leave behind are downloads, and data as the `datasets` library keeps it.

    Args:
        recipe: The run.
        output: Also say whether the run could be written where the recipe says.

    Returns:
        The plan, its measures, and all that is wrong; nothing is raised for what the user can mend.
    """
    problems = Problems()
    if output:
        problems.attempt(claim_output, Path(recipe.output), recipe, overwrite=False, resume=False)
    plan = problems.attempt(make_plan, recipe)
    if plan is None:
        return Preflight(recipe, errors=tuple(problems.found))
    return examine(plan, problems, measure=True)


def examine(plan: Plan, problems: Problems | None = None, *, measure: bool = False) -> Preflight:
    """The part of the preflight that needs the models; `distill` calls it before the teacher learns or answers.

    Args:
        plan: A recipe with every name looked up.
        problems: What was found before.
        measure: Make training steps to measure time and memory, which spoils the student for the run. Else a few rows
            are enough, and `Preflight.begun` is as good as new.
    """
    problems = problems or Problems()
    recipe = plan.recipe
    begun = problems.attempt(begin, plan)
    if begun is None:
        return Preflight(recipe, plan, errors=tuple(problems.found), warnings=tuple(task_warnings(plan)))
    warnings: list[UKDError] = []
    readings: dict[str, Reading] = {}
    sides = (("teacher", recipe.teacher, begun.teacher), ("student", recipe.student, begun.student))
    for side, name, source in sides:
        with problems.gathered():
            readings[side] = read_lengths(source, plan.data, recipe.max_length, SAMPLE if measure else FEW_TEXTS)
            warnings += reading_warnings(side, name, source, readings[side], recipe.max_length)
    held = _held()
    trial = None
    if len(readings) == len(sides):
        rows = min(recipe.batch_size, MOST_ROWS) if measure else FEW_ROWS
        trial = problems.attempt(make_trial, plan, begun, rows, problems, readings, measure=measure)
    return Preflight(recipe, plan, begun, readings, trial, held, tuple(problems.found),
                     (*warnings, *task_warnings(plan)))


def _held() -> int:
    """Memory of this process; pages of files, which the system takes back when it needs them, do not count."""
    found = psutil.Process().memory_info()
    return int(found.rss - getattr(found, "shared", 0))  # where nothing is said of them, they count


def tokenizer_kind(source: LayerSource) -> str:
    """What cuts texts into tokens: WordPiece, BPE, WordLevel and so on."""
    backend = getattr(source.tokenizer, "backend_tokenizer", None)
    return type(source.tokenizer).__name__ if backend is None else type(backend.model).__name__
