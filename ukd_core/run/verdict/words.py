"""The verdict in sentences: plain, and no kinder than the figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ukd_core.run.baseline import METHOD
from ukd_core.run.speed import BATCH

if TYPE_CHECKING:
    from ukd_core.run.compare.bootstrap import Interval
    from ukd_core.run.verdict.judged import Floor, Model, Verdict


def sentences(verdict: Verdict) -> Iterator[str]:
    """What the figures come to; called once a verdict, with all but its sentences known."""
    yield _student(verdict)
    yield _distillation(verdict)
    if verdict.floor is not None and verdict.floor.over.low <= 0.0:
        yield _floor(verdict, verdict.floor)
    for model in verdict.alternatives:
        yield _alternative(verdict, model)


def _student(verdict: Verdict) -> str:
    """The student beside its teacher."""
    teacher, student = verdict.teacher, verdict.student
    if teacher.quality is None or student.quality is None:
        if student.agreement is None:
            return "Quality is not known: no row with a label was held out."
        return (f"Quality is not known: no row with a label was held out. The student answers {student.agreement:.1%} "
                f"of {verdict.rows:,} {verdict.split} rows as the teacher does.")
    scores = f"{student.quality.mean:.4f} of {teacher.quality.mean:.4f}"
    first = (f"The student has {verdict.metric} {scores}" if student.kept is None else
             f"The student keeps {student.kept:.1%} of the teacher's {verdict.metric} ({scores})")
    return f"{first}{_cost(teacher, student)}."


def _floor(verdict: Verdict, floor: Floor) -> str:
    """A student that may have learned nothing but which answer pays."""
    model = f"a model that answers {floor.answer!r} to every row"
    difference = f"({verdict.metric} {floor.score:.4f}; {_interval(floor.over)})"
    if floor.over.mean > 0.0:
        return f"The student is above {model}, but within noise {difference}."
    place = "below" if floor.over.high < 0.0 else "not above"
    return f"The student is {place} {model} {difference}: it may have learned nothing of the task."


def _cost(teacher: Model, student: Model) -> str:
    parts = ""
    if student.speed is not None and student.speed_up is not None:
        parts += (f", answers {student.speed_up:.1f} times as many texts a second (batches of {BATCH}, CPU, "
                  f"{student.speed.threads} {'thread' if student.speed.threads == 1 else 'threads'})")
    if student.bytes and teacher.bytes:
        parts += f", and takes {student.bytes / 1e6:,.1f} MB instead of {teacher.bytes / 1e6:,.1f}"
    return parts


def _distillation(verdict: Verdict) -> str:
    """Whether it was worth distilling."""
    if verdict.method == METHOD:
        return "The student learned from labels alone: there was no distillation to judge."
    found = verdict.difference
    if found is None:
        return "Whether distillation helped: " + (
            "cannot tell, no row with a label was held out." if verdict.baseline else
            "cannot tell without --with-baseline, which trains the same student on labels alone, at equal steps.")
    said, so = {"helped": ("helped", ""), "hurt": ("hurt", ""),
                "did not help": ("did not help", "; the interval holds 0, so these rows prove no difference")
                }[verdict.outcome]
    rows = f"{verdict.labelled_rows:,} {verdict.split} rows"
    return (f"Distillation {said}: {verdict.metric} {_interval(found)} against the same student trained on labels "
            f"alone, on {rows}{so}. This is one seed; ukd compare runs several.")


def _alternative(verdict: Verdict, model: Model) -> str:
    """The student beside what a user would pick instead."""
    if model.note:
        return f"{model.name}: not tried, {model.note}."
    if model.over is None:
        return f"{model.name}: cannot be compared, no row with a label was held out."
    difference = f"({verdict.metric} {_interval(model.over)})"
    if model.over.low > 0.0:
        return f"The student beats {model.name} {difference}."
    faster = _faster(model, verdict.student)
    if model.over.high < 0.0:
        return f"The student LOSES to {model.name} {difference}{faster}: use that, or train on more text or longer."
    place = "behind" if model.over.mean < 0.0 else "level with" if model.over.mean == 0.0 else "ahead of"
    return f"The student is {place} {model.name}, but within noise {difference}{faster}."


def _faster(model: Model, student: Model) -> str:
    if model.speed is None or student.speed is None:
        return ""
    return f", which answers {model.speed.per_second / student.speed.per_second:.1f} times as many texts a second"


def _interval(found: Interval) -> str:
    return f"{found.mean:+.4f}, 95 % interval [{found.low:+.4f}, {found.high:+.4f}]"
