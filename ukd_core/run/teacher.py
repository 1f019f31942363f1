"""The teacher made ready: a classifier for the task, fine-tuned here if it is not one yet, and kept for later runs."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import set_seed

from ukd_core.errors import InputError
from ukd_core.layer_source import BuildContext, LayerSource
from ukd_core.run.device import pick_device, use_bf16
from ukd_core.run.files import whole_folder
from ukd_core.run.fingerprint import data_facts, fingerprint, source_facts
from ukd_core.run.phases import Training, train_phases
from ukd_core.run.rows import tokenize_data

if TYPE_CHECKING:
    from ukd_core.output_space import OutputSpace
    from ukd_core.plugins import Registry
    from ukd_core.run.data import TaskData
    from ukd_core.run.processes import Processes
    from ukd_core.run.progress import Reporter
    from ukd_core.run.recipe import Recipe
    from ukd_core.run.sources import SourcePlan

TEACHER_SEED = 0
"""The teacher does not follow the run's seed: runs with several seeds are taught by the same teacher."""
TUNING_KEYS = ("max_length", "batch_size", "weight_decay", "warmup", "group_by_length", "trim_vocabulary",
               "teacher_epochs", "teacher_learning_rate", "metric")
"""Keys of a recipe that decide a fine-tuned teacher."""


@dataclass(frozen=True)
class Teacher:
    """A teacher that can answer."""

    source: LayerSource
    probe: bool
    """Its classifier is the pseudo head of the last layer, fitted on frozen states."""
    seconds: float = 0.0
    """Spent on fine-tuning in this run."""


def taken_labels(plan: SourcePlan, recipe: Recipe, space_type: type[OutputSpace]) -> tuple[str, ...] | None:
    """What the teacher was trained to answer, where it is taken as it is; None where it will learn this task.

    Raises:
        InputError: its scores mean something else than those of the output space.
    """
    if plan.location is None or recipe.teacher_tuning != "auto":
        return None
    source = plan.load()
    if source.label_names is not None and not speaks(source, space_type):
        raise InputError(f"teacher '{plan.text}'", f"expected a classifier for output space '{space_type.name}' "
                         f"(problem_type {space_type.problem_type}), got {source.model.config.problem_type}",
                         "Change --output-space, or retrain it with --teacher-tuning finetune.")
    return source.label_names


def speaks(source: LayerSource, space: OutputSpace | type[OutputSpace]) -> bool:
    """Whether a stored classifier's scores have the meaning of the space; many checkpoints do not say."""
    return source.model.config.problem_type in (None, space.problem_type)


def ready_teacher(plan: SourcePlan, data: TaskData, recipe: Recipe, registry: Registry, cache: Path,
                  processes: Processes, reporter: Reporter) -> Teacher:
    """Take, probe or fine-tune the teacher; fine-tuned weights are read from `cache` where they fit.

    Raises:
        InputError: the teacher has to learn the task, but no training row has a label.
    """
    source, finished = read_teacher(plan, data, recipe)
    if finished or recipe.teacher_tuning == "probe":
        return Teacher(source, probe=not finished)
    return _finetuned(source, plan, data, recipe, registry, cache, processes, reporter)


def read_teacher(plan: SourcePlan, data: TaskData, recipe: Recipe) -> tuple[LayerSource, bool]:
    """The teacher before it learns anything here, and whether it is a classifier that is taken as it is.

    Raises:
        InputError: the teacher has to learn the task, but no training row has a label.
    """
    if plan.location is not None and recipe.teacher_tuning == "auto":
        source = plan.load()
        if source.label_names is not None:
            return source, True
    if not data.labelled("train").any():
        raise InputError(f"teacher '{plan.text}'", "it is not yet a classifier, and no training row has a label",
                         "Give a fine-tuned teacher, or some labels.")
    set_seed(TEACHER_SEED)
    if plan.location is not None:
        return plan.load(data.space), False
    context = BuildContext(data.space, data.texts(), None, recipe.max_length, TEACHER_SEED)
    return plan.kind.build(plan.options, context), False


def _finetuned(source: LayerSource, plan: SourcePlan, data: TaskData, recipe: Recipe, registry: Registry,
               cache: Path, processes: Processes, reporter: Reporter) -> Teacher:
    facts = {"teacher": source_facts(source), "data": data_facts(data), "torch": torch.__version__,
             "trained": [name for name, weight in source.model.named_parameters() if weight.requires_grad],
             "bf16": use_bf16(recipe.precision, pick_device(recipe.device)),
             **{key: getattr(recipe, key) for key in TUNING_KEYS}}
    entry = cache / "teachers" / fingerprint(facts)
    with processes.lock(entry.with_name(entry.name + ".lock"), reporter):  # a second run waits, then reads it
        if entry.is_dir():
            reporter.say(f"teacher: reused, fine-tuned before ({entry})")
            return Teacher(plan.kind.load(entry, plan.kind.Options()), probe=False)
        start = time.perf_counter()
        reporter.say(f"teacher: fine-tuning '{plan.text}' for this task")
        _finetune(source, data, recipe, registry, entry, processes, reporter)
        return Teacher(source, probe=False, seconds=time.perf_counter() - start)


def _finetune(source: LayerSource, data: TaskData, recipe: Recipe, registry: Registry, entry: Path,
              processes: Processes, reporter: Reporter) -> None:
    """Train the source in place on the labels and keep it as `entry`; a killed fine-tuning goes on where it was."""
    work = entry.with_name(entry.name + ".work")
    work.mkdir(exist_ok=True)
    rows = tokenize_data(source, data, recipe.max_length, entry.parents[1])
    labelled = data.labelled("train").float().mean().item()
    tuning = recipe.model_copy(update={"epochs": recipe.teacher_epochs * labelled, "seed": TEACHER_SEED,
                                       "learning_rate": recipe.teacher_learning_rate})
    train_phases(Training(source, data, rows, None, tuning, registry, work, processes, reporter),
                 registry.methods.lookup("none").phases)
    source.cpu()
    if processes.is_main:
        with whole_folder(entry) as folder:
            source.save(folder)
        shutil.rmtree(work, ignore_errors=True)
