"""The models of a run as they begin, before anybody learns."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import set_seed

from ukd_core.layer_source import LayerSource
from ukd_core.run.assistants import begun_chain
from ukd_core.run.plan import Plan, make_student
from ukd_core.run.sources import SourcePlan
from ukd_core.run.teacher import read_teacher


@dataclass(frozen=True)
class Begun:
    """Every model of a run, on the CPU, untrained here."""

    teacher: LayerSource
    finished: bool
    """The teacher is a classifier for the task and taken as it is."""
    lasts: bool
    """The teacher's encoder will not change: it is taken as it is, or probed."""
    assistants: tuple[tuple[SourcePlan, LayerSource], ...]
    student: LayerSource
    """Built from the teacher as it is: where that does not last, the run builds its student anew."""

    @property
    def beside(self) -> LayerSource:
        """The last one before the student: the teacher, or the last assistant."""
        return self.assistants[-1][1] if self.assistants else self.teacher


def begin(plan: Plan) -> Begun:
    """Read the teacher, build the assistants and the student.

    Raises:
        UKDError: one of them cannot be built for this task and this teacher.
    """
    teacher, finished = read_teacher(plan.teacher, plan.data, plan.recipe)
    assistants = tuple(begun_chain(plan, teacher)) if plan.assistants or plan.default_assistants else ()
    set_seed(plan.recipe.seed)  # as the run does, so that this is the student that it begins with
    lasts = finished or plan.recipe.teacher_tuning == "probe"
    return Begun(teacher, finished, lasts, assistants, make_student(plan, teacher))
