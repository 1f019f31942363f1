"""A verdict for the terminal: two tables and its sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ukd_core.run.speed import BATCH
from ukd_core.run.table import text_table

if TYPE_CHECKING:
    from ukd_core.run.speed import Speed
    from ukd_core.run.verdict.judged import Model, Verdict

NOTHING = "-"
COST = ("", "model", "parameters", "MB", "p50 ms", "p95 ms", "texts/s", "speed-up")


def verdict_text(verdict: Verdict) -> str:
    """Quality, cost, words; called by ``ukd distill`` and ``ukd verdict``."""
    where = "" if verdict.split is None else (f": {verdict.labelled_rows:,} of {verdict.rows:,} {verdict.split} rows "
                                              "have labels")
    header = ["", verdict.metric, "95 % interval", "kept", "agree", "ECE", "NLL", "student minus it"]
    quality = text_table("", header, map(_quality, verdict.models), range(1, 8))
    cost = text_table("", COST,
                      [row for model in verdict.models for row in _cost(model)], range(2, 8))
    return "\n".join([f"quality{where}", quality, _cost_title(verdict), cost, *verdict.sentences])


def _quality(model: Model) -> list[str]:
    score, over = model.quality, model.over
    who = {"baseline": "baseline: labels alone", "alternative": model.name}.get(model.role, model.role)
    return [who, NOTHING if score is None else f"{score.mean:.4f}",
            NOTHING if score is None else f"{score.low:.3f} to {score.high:.3f}",
            NOTHING if model.kept is None else f"{model.kept:.1%}", _number(model.agreement), _number(model.ece),
            _number(model.nll), NOTHING if over is None else f"{over.mean:+.3f} [{over.low:+.3f}, {over.high:+.3f}]"]


def _cost(model: Model) -> Iterator[list[str]]:
    size = [NOTHING if model.parameters is None else f"{model.parameters:,}",
            NOTHING if model.bytes is None else f"{model.bytes / 1e6:,.1f}"]
    yield [model.role, model.name, *size, *_speed(model.speed),
           NOTHING if model.speed_up is None else f"{model.speed_up:.1f}"]
    if model.speed_cuda is not None:
        yield [model.role, f"{model.name}, on the GPU", *size, *_speed(model.speed_cuda), NOTHING]


def _speed(speed: Speed | None) -> list[str]:
    if speed is None:
        return [NOTHING] * 3
    return [f"{speed.p50_ms:.2f}", f"{speed.p95_ms:.2f}", f"{speed.per_second:,.0f}"]


def _cost_title(verdict: Verdict) -> str:
    speed = verdict.student.speed
    if speed is None:
        return "cost: speed was not measured"
    return (f"cost: one text alone and batches of {BATCH} on this CPU, {speed.threads} "
            f"{'thread' if speed.threads == 1 else 'threads'}, from text to answer")


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"
