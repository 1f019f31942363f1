"""A recipe with every name looked up and every input read, before anything is trained or written."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ukd_core.errors import InputError, Problems
from ukd_core.layer_source import BuildContext, LayerSource
from ukd_core.method import Phase
from ukd_core.output_space import OutputSpace
from ukd_core.plugins import Registry, load_registry
from ukd_core.run.assistants import check_default_chain
from ukd_core.run.cache.answers import AnswerSettings
from ukd_core.run.combination import find_method
from ukd_core.run.data import RawData, TaskData, encode_data, read_data
from ukd_core.run.device import pick_device, use_bf16
from ukd_core.run.embedded import cache_folder
from ukd_core.run.live import check_shown
from ukd_core.run.mixture import check_mixture
from ukd_core.run.output import usable_cache
from ukd_core.run.phases import check_phases, usable_phases
from ukd_core.run.recipe import Recipe
from ukd_core.run.sources import SourcePlan, plan_source
from ukd_core.run.teacher import check_head, stored_teacher


@dataclass(frozen=True)
class Plan:
    """A run before it begins."""

    recipe: Recipe
    registry: Registry
    phases: tuple[Phase, ...]
    teacher: SourcePlan
    student: SourcePlan
    data: TaskData
    cache: Path
    assistants: tuple[SourcePlan, ...] = ()
    """Those that the recipe names."""
    default_assistants: int = 0
    """How many the method makes where the recipe names none."""
    keep_states: bool = False
    """Keep the teacher's hidden states in the cache though this run does not need them."""
    label_values: Mapping[Any, int] = field(default_factory=dict)
    """The training labels as the data has them (of lists, what they hold), with how many rows have each."""


def make_plan(recipe: Recipe, registry: Registry | None = None) -> Plan:
    """Look up every name and read every input of a recipe; nothing is written but downloads in the cache.

    Args:
        recipe: The run.
        registry: What plug-ins offer; None to load those that the recipe names.

    Raises:
        UKDError: the first of all that is wrong; its `others` are the rest.
    """
    registry = registry or load_registry(recipe.plugins, recipe.plugin_folder)
    cache = usable_cache(Path(os.path.expanduser(recipe.cache)) if recipe.cache else cache_folder())
    problems = Problems()
    problems.attempt(_check_device, recipe)
    space_type = problems.attempt(registry.output_spaces.lookup, recipe.output_space)
    problems.attempt(registry.pseudo_heads.lookup, recipe.pseudo_head)
    phases = problems.attempt(_phases, recipe, registry)
    student = problems.attempt(plan_source, recipe.student, registry, cache, "student")
    teacher = problems.attempt(plan_source, recipe.teacher, registry, cache, "teacher")
    assistants = tuple(problems.attempt(plan_source, text, registry, cache, "assistant") for text in recipe.assistants)
    named = tuple(assistant for assistant in assistants if assistant is not None)
    made = 0
    if phases is not None and student is not None and teacher is not None and len(named) == len(assistants):
        with problems.gathered():
            made = _checked_pair(recipe, registry, phases, student, teacher, named)
    raw = problems.attempt(_read, recipe, cache)
    data = None
    if raw is not None and space_type is not None and teacher is not None:
        data = _encoded(recipe, raw, space_type, teacher, problems)
    if phases is not None and data is not None:
        problems.attempt(usable_phases, phases, registry, data)
        problems.attempt(_check_weights, recipe, data)
    problems.tell()
    # Nothing is None now, which the type checker cannot know.
    plan = Plan(recipe, registry, phases or (), teacher, student, data, cache, named, made,  # type: ignore[arg-type]
                label_values=_counted(raw) if raw is not None else {})
    if recipe.assistant_use == "ensemble":
        check_mixture(plan)
    return plan


def make_student(plan: Plan, teacher: LayerSource) -> LayerSource:
    """The student before training: built new, or existing weights with a classifier for this space."""
    return plan.student.start(build_context(plan, teacher))


def build_context(plan: Plan, teacher: LayerSource) -> BuildContext:
    """What the student, and an assistant beside it, are built from."""
    recipe = plan.recipe
    return BuildContext(plan.data.space, plan.data.texts(), teacher, recipe.max_length, recipe.seed)


def answer_settings(plan: Plan, probe: bool, states: bool) -> AnswerSettings:
    """What decides the answers of a teacher.

    Args:
        plan: The run.
        probe: Its classifier is the pseudo head of the last layer.
        states: Keep its hidden states.
    """
    recipe = plan.recipe
    return AnswerSettings(
        max_length=recipe.max_length, head=recipe.pseudo_head, l2=recipe.head_l2, head_rows=recipe.head_rows,
        probe=probe, bf16=use_bf16(recipe.precision, pick_device(recipe.device)), dtype=recipe.cache_dtype,
        states=states)


def method_of(recipe: Recipe) -> str:
    """What decides the phases, for messages."""
    return "phases" if recipe.phases else f"method '{recipe.method}'"


def _check_device(recipe: Recipe) -> None:
    use_bf16(recipe.precision, pick_device(recipe.device))


def _check_weights(recipe: Recipe, data: TaskData) -> None:
    if recipe.unlabelled_weight == 0.0 and not data.labelled("train").any():
        raise InputError("unlabelled_weight 0", "expected labelled training rows, got none", "Raise the weight.")
    # Of whatever the phases learn from: a teacher and a baseline learn from labels.
    if recipe.class_weights == "balanced" and data.space.problem_type != "single_label_classification":
        raise InputError("class_weights 'balanced'", "expected one class for each text, got output space "
                         f"'{data.space.name}'", "Use class_weights none.")


def _phases(recipe: Recipe, registry: Registry) -> tuple[Phase, ...]:
    phases = recipe.phases or find_method(recipe.method, registry).phases
    check_phases(phases, recipe, registry)
    return tuple(phases)


def _checked_pair(recipe: Recipe, registry: Registry, phases: tuple[Phase, ...], student: SourcePlan,
                  teacher: SourcePlan, assistants: tuple[SourcePlan, ...]) -> int:
    """Whether the adapters can serve the phases; the number of assistants that the method makes by itself."""
    beside = assistants[-1] if assistants else teacher
    check_shown(method_of(recipe), phases, registry, student=student.kind, teacher=beside.kind)
    made = 0 if assistants or recipe.phases else find_method(recipe.method, registry).assistants
    check_default_chain(teacher, recipe.method, made)
    return made


def _read(recipe: Recipe, cache: Path) -> RawData:
    return read_data(recipe.data, text_columns=recipe.text_columns, label_column=recipe.label_column,
                     max_train_rows=recipe.max_train_rows, max_eval_rows=recipe.max_eval_rows,
                     max_labels=recipe.max_labels, validation_fraction=recipe.validation_fraction,
                     seed=recipe.data_seed, cache=cache)


def _encoded(recipe: Recipe, raw: RawData, space_type: type[OutputSpace], teacher: SourcePlan, problems: Problems
             ) -> TaskData | None:
    """The labels beside those of a teacher that is taken as it is; None where something is wrong with either."""
    before = len(problems.found)
    stored = problems.attempt(stored_teacher, teacher, recipe)
    if len(problems.found) > before:
        return None
    if stored is not None:
        problems.attempt(check_head, teacher.text, stored, space_type)
    names = None if stored is None else stored.label_names
    return problems.attempt(encode_data, raw, space_type, label_names=recipe.label_names, teacher_labels=names,
                            metric=recipe.metric)


def _counted(raw: RawData) -> Counter[Any]:
    return Counter(part for value in raw.seen for part in (value if isinstance(value, list) else (value,)))
