"""What a run came to: everything that metrics.json holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ukd_core.formats import RUN
from ukd_core.run.trainer import evaluate_scores
from ukd_core.run.versions import versions

if TYPE_CHECKING:
    from torch import Tensor

    from ukd_core.layer_source import LayerSource
    from ukd_core.output_space import OutputSpace
    from ukd_core.run.assistants import Link
    from ukd_core.run.finished import Ending
    from ukd_core.run.phases import Training
    from ukd_core.run.plan import Plan


def run_metrics(plan: Plan, chain: Sequence[Link], training: Training, endings: Sequence[Ending],
                logits: Mapping[str, Tensor], seconds: Mapping[str, float]) -> dict[str, Any]:
    """Scores of teacher, assistants and student on every labelled split, and what the run cost.

    Args:
        plan: The run.
        chain: The teacher of the recipe, then its assistants.
        training: Of the student.
        endings: What its phases came to.
        logits: The student's scores by split, (rows, C) each.
        seconds: Spent, by what for.
    """
    space, recipe, answers = plan.data.space, plan.recipe, chain[0].answers
    split = "validation" if "validation" in logits else "test" if "test" in logits else None
    asked = {name: answers.scores(name).whole() for name in logits}
    models = [*((link.name, link.source, {name: link.answers.scores(name).whole()[:, -1] for name in logits})
                for link in chain), (recipe.student, training.source, logits)]
    teacher, *assistants, student = (_scored(plan, split, *model) for model in models)
    return RUN.mark({
        "method": "custom" if recipe.phases else recipe.method,
        "seed": recipe.seed, "evaluated_on": split, "metric": space.metric,
        "labels": list(space.labels), "rows": {name: len(part) for name, part in plan.data.splits.items()},
        "layer_accuracy": [] if split is None else [
            evaluate_scores(asked[split][:, layer], plan.data.labels(split), space).get(space.metric)
            for layer in range(chain[0].source.num_layers)],
        "phases": [asdict(ending) for ending in endings],
        "teacher_rows_forwarded": sum(link.answers.rows_forwarded for link in chain),
        "teacher_rows_live": 0 if training.teacher is None else training.teacher.rows_forwarded,
        "seconds": dict(seconds), "teacher": teacher, "assistants": assistants, "student": student,
        "agreement": {name: _agreement(asked[name][:, -1], scores, space) for name, scores in logits.items()},
        "versions": versions(), **_weights(training)})


def seconds_before(chain: Sequence[Link]) -> dict[str, float]:
    """Spent before the student: on training the teacher and assistants, and on their answers."""
    trained = {"teacher_finetune": chain[0].seconds}
    if len(chain) > 1:
        trained["assistants"] = sum(link.seconds for link in chain[1:])
    return {**trained, **{key: sum(link.answers.seconds[key] for link in chain) for key in ("teacher_pass", "heads")}}


def _scored(plan: Plan, split: str | None, name: str, source: LayerSource, scores: Mapping[str, Tensor]
            ) -> dict[str, Any]:
    by_split = {part: dict(evaluate_scores(given, plan.data.labels(part), plan.data.space))
                for part, given in scores.items()}
    return {"name": name, "layers": source.num_layers, "parameters": source.num_parameters,
            "metrics": by_split.get(split, {}) if split else {}, "by_split": by_split}


def _weights(training: Training) -> dict[str, Any]:
    """Of the assistants in a mixture; nothing where one model alone teaches the student."""
    about = {} if training.answers is None else training.answers.entry.about
    return {"assistant_weights": about["weights"]} if "weights" in about else {}


def _agreement(teacher: Tensor, student: Tensor, space: OutputSpace) -> float | None:
    """Share of rows (or labels) on which both answer the same; None where answers are measured, not named."""
    if space.problem_type == "regression":
        return None
    return float((space.predictions(teacher) == space.predictions(student)).float().mean())
