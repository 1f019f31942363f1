"""A preflight as text: tables for ``ukd check``, a few lines for the start of a run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ukd_core.run.cache.answers import megabytes
from ukd_core.run.labels import listed, match
from ukd_core.run.methods_list import NEEDS, weighted_term
from ukd_core.run.preflight.report import Preflight, tokenizer_kind
from ukd_core.run.table import text_table

if TYPE_CHECKING:
    from ukd_core.layer_source import LayerSource
    from ukd_core.run.plan import Plan
    from ukd_core.run.preflight.begin import Begun
    from ukd_core.run.preflight.trial import PhaseTrial, Trial

MOST_LABELS = 30
"""Rows of the label map; of more labels the rest is counted."""


def short_text(found: Preflight) -> str:
    """The plan in a few lines, then a line for every warning."""
    lines = []
    if found.plan is not None and found.begun is not None:
        space, begun = found.plan.data.space, found.begun
        lines.append(f"plan: {_in_short(found.recipe.teacher, begun.teacher)} teaches "
                     f"{_in_short(found.recipe.student, begun.student)}; {space.name}: {listed(space.labels, 8)}")
        lines += [f"plan: {each.phase.name}, {each.steps:,} steps: {_terms(each)}"
                  for each in (found.trial.phases if found.trial else ())]
    return "\n".join([*lines, *_told(found)])


def whole_text(found: Preflight) -> str:
    """Everything that is known of a run before it begins."""
    parts = []
    if found.plan is not None and found.begun is not None:
        parts += [_models(found, found.begun), _reading(found, found.begun), _rows(found.plan), _labels(found.plan,
                                                                                                    found.begun)]
        if found.trial is not None:
            parts += [_phases(found.plan, found.trial), _layers(found.trial), _costs(found, found.trial)]
    verdict = f"{len(found.errors)} errors, {len(found.warnings)} warnings"
    return "\n".join([*(part for part in parts if part), *_told(found), verdict])


def _told(found: Preflight) -> Iterator[str]:
    yield from (f"warning: {warning}" for warning in found.warnings)


def _in_short(name: str, source: LayerSource) -> str:
    return f"'{name}' ({source.num_layers} layers, {source.num_parameters / 1e6:.1f} M parameters)"


def _sides(found: Preflight, begun: Begun) -> Iterator[tuple[str, str, LayerSource]]:
    yield "teacher", found.recipe.teacher, begun.teacher
    for model, source in begun.assistants:
        yield "assistant", model.text, source
    yield "student", found.recipe.student, begun.student


def _models(found: Preflight, begun: Begun) -> str:
    tuning = {"probe": "encoder frozen, probe fitted"}.get(found.recipe.teacher_tuning, "fine-tuned first")
    first = {"teacher": "taken as it is" if begun.finished else tuning, "assistant": "taught by logit-kd",
             "student": "trained"}
    rows = [[side, name, source.name, source.num_layers, _span(source.widths), f"{source.num_parameters:,}",
             getattr(source, "pooling", "its own"), first[side]] for side, name, source in _sides(found, begun)]
    header = ["", "model", "adapter", "layers", "width", "parameters", "pooling", "in this run"]
    return text_table("models", header, rows, (3, 4, 5))


def _span(widths: tuple[int, ...]) -> str:
    return str(widths[0]) if len(set(widths)) == 1 else f"{min(widths)} to {max(widths)}"


def _reading(found: Preflight, begun: Begun) -> str:
    rows = [[side, tokenizer_kind(source), f"{len(source.tokenizer):,}", reading.limit,
             source.max_positions or "no limit", f"{reading.mean:.1f}", f"{reading.longest:,}", f"{reading.cut:.1%}"]
            for side, _, source in _sides(found, begun) if (reading := found.readings.get(side)) is not None]
    header = ["reads the texts", "tokenizer", "vocabulary", "max length", "positions", "mean tokens", "longest",
              "texts cut"]
    return text_table("who reads what (lengths of a sample)", header, rows, range(2, 8))


def _rows(plan: Plan) -> str:
    rows = []
    for name, split in plan.data.splits.items():
        labelled = int(plan.data.labelled(name).sum())
        rows.append([name, f"{len(split):,}", f"{labelled:,}", f"{len(split) - labelled:,}"])
    kind = "pairs of texts" if plan.data.pairs else "texts"
    return text_table(f"data: {kind}", ["split", "rows", "labelled", "unlabelled"], rows, (1, 2, 3))


def _labels(plan: Plan, begun: Begun) -> str:
    """By column of the scores: what the data calls the label, what the teacher does."""
    space = plan.data.space
    if space.problem_type == "regression":
        return f"output space: {space.name}, one number (column 0); metric {space.metric}"
    called: dict[str, list[str]] = {}
    for value, count in plan.label_values.items():
        name = _column_name(plan, value)
        called.setdefault(name, []).append(f"{value} ({count:,})")
    own = begun.teacher.label_names if begun.finished else None
    rows = [[column, ", ".join(called.get(name, ["(no row)"])), own[column] if own else "(learns it)", name]
            for column, name in enumerate(space.labels[:MOST_LABELS])]
    more = "" if len(space.labels) <= MOST_LABELS else f"; {len(space.labels) - MOST_LABELS} more are left out"
    return text_table(f"output space: {space.name}, {space.size} labels, metric {space.metric}{more}",
                      ["column", "in the data (rows)", "in the teacher", "in the run"], rows, (0,))


def _column_name(plan: Plan, value: Any) -> str:
    """The name of the column that a raw label means; of text with several labels the text itself."""
    space = plan.data.space
    try:
        encoded = space.encode(match(value, space.places))
    except ValueError:
        return str(value)
    if isinstance(encoded, int):
        return space.labels[encoded]
    held = [name for name, holds in zip(space.labels, encoded, strict=True) if holds]
    return held[0] if len(held) == 1 else str(value)


def _terms(tried: PhaseTrial) -> str:
    return " + ".join(weighted_term(spec) for spec in tried.phase.terms)


def _phases(plan: Plan, trial: Trial) -> str:
    rows = []
    for each in trial.phases:
        for place, spec in enumerate(each.phase.terms):
            kind = plan.registry.terms.lookup(spec.term)
            reads = ", ".join(dict.fromkeys(NEEDS[need] for need in sorted(kind.needs) if need in NEEDS))
            first = [each.phase.name, f"{each.steps:,}", each.phase.start] if place == 0 else ["", "", ""]
            rows.append([*first, weighted_term(spec), reads or "nothing"])
    return text_table("phases (weight and options of every term)",
                      ["phase", "steps", "begins from", "term", "learns from"], rows, (1,))


def _layers(trial: Trial) -> str:
    rows = [[each.phase.name, found.term, found.projector, str(found)] for each in trial.phases for found in each.maps]
    return text_table("layers (those of the student, from those of the teacher; both counted from 0)",
                      ["phase", "term", "projector", "student layer from teacher layers"], rows) if rows else ""


def _costs(found: Preflight, trial: Trial) -> str:
    kept, needed = found.cache_bytes()
    rows = [["libraries, data and models", "", megabytes(found.held), ""],
            ["teacher pass, once", _time(found.pass_seconds()), f"+ {megabytes(found.pass_bytes())}",
             f"{megabytes(kept)} kept, {megabytes(needed)} while it is made"]]
    for each in trial.phases:
        if each.seconds is not None and each.activations is not None:
            rows.append([f"training: {each.phase.name}", _time(each.all_seconds),
                         f"+ {megabytes(found.training_bytes(each.activations))}", ""])
    rows.append(["at most", "", megabytes(found.peak_bytes()), ""])
    title = ("costs (estimated from a few batches on this CPU; fine-tuning of a teacher, fitting of pseudo heads and "
             "the final scores come on top)")
    return text_table(title, ["what", "time", "memory", "disk"], rows, (1, 2))


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))
