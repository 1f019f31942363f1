"""The teacher made ready: a classifier for the task, fine-tuned here if it is not one yet, and kept for later runs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import set_seed

from ukd_core.errors import InputError
from ukd_core.formats import MODEL
from ukd_core.layer_source import BuildContext, LayerSource
from ukd_core.run.device import pick_device, use_bf16
from ukd_core.run.files import whole_folder
from ukd_core.run.fingerprint import data_facts, fingerprint, source_facts
from ukd_core.run.phases import Training, train_phases
from ukd_core.run.rows import tokenize_data
from ukd_core.run.sources import SourcePlan, speaks

if TYPE_CHECKING:
    from ukd_core.output_space import OutputSpace
    from ukd_core.plugins import Registry
    from ukd_core.run.data import TaskData
    from ukd_core.run.processes import Processes
    from ukd_core.run.progress import Reporter
    from ukd_core.run.recipe import Recipe

TEACHER_SEED = 0
"""The teacher does not follow the run's seed: runs with several seeds are taught by the same teacher."""
TRAINING_KEYS = ("max_length", "batch_size", "weight_decay", "warmup", "group_by_length", "trim_vocabulary", "metric")
"""Keys of a recipe that decide any model that is trained before the student."""
TUNING_KEYS = (*TRAINING_KEYS, "teacher_epochs", "class_weights")
"""Those that decide a fine-tuned teacher."""
LATER_KEYS = ("class_weights", "unlabelled_weight")
"""Keys that count only where they are not the default: what was kept before there were such keys stays good."""


@dataclass(frozen=True)
class Teacher:
    """A teacher that can answer."""

    source: LayerSource
    probe: bool
    """Its classifier is the pseudo head of the last layer, fitted on frozen states."""
    seconds: float = 0.0
    """Spent on fine-tuning in this run."""


def stored_teacher(plan: SourcePlan, recipe: Recipe) -> LayerSource | None:
    """The teacher as it is stored; None where it will learn this task, whatever it was trained to answer."""
    return None if plan.location is None or recipe.teacher_tuning != "auto" else plan.load()


def check_head(text: str, source: LayerSource, space_type: type[OutputSpace]) -> None:
    """Refuse a classifier whose scores mean something else than those of the output space.

    Args:
        text: The teacher as the user wrote it.
        source: The teacher; an encoder without a classifier is fine, it will get one.
        space_type: The output space of the run.

    Raises:
        InputError: it answers with several labels where one is asked for, say.
    """
    if source.label_names is not None and not speaks(source, space_type):
        raise InputError(f"teacher '{text}'", f"expected a classifier for output space '{space_type.name}' "
                         f"(problem_type {space_type.problem_type}), got {source.model.config.problem_type}",
                         "Change --output-space, or retrain it with --teacher-tuning finetune.")


def ready_teacher(plan: SourcePlan, data: TaskData, recipe: Recipe, registry: Registry, cache: Path,
                  processes: Processes, reporter: Reporter, begun: tuple[LayerSource, bool] | None = None) -> Teacher:
    """Take, probe or fine-tune the teacher; fine-tuned weights are read from `cache` where they fit.

    Args:
        plan: What the recipe says of it.
        data: The task.
        recipe: The run.
        registry: Where methods are registered.
        cache: The cache folder.
        processes: Who takes part.
        reporter: Where progress goes.
        begun: As `read_teacher` gives it, where that was done before.

    Raises:
        InputError: the teacher has to learn the task, but no training row has a label.
    """
    source, finished = begun or read_teacher(plan, data, recipe)
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
    entry = cache / "teachers" / fingerprint(training_facts("teacher", source, data, recipe, TUNING_KEYS))

    def train(work: Path) -> None:
        reporter.say(f"teacher: fine-tuning '{plan.text}' for this task")
        rows = tokenize_data(source, data, recipe.max_length, cache)
        labelled = data.labelled("train").float().mean().item()
        tuning = recipe.model_copy(update={"epochs": recipe.teacher_epochs * labelled, "seed": TEACHER_SEED,
                                           "learning_rate": recipe.teacher_learning_rate})
        train_phases(Training(source, data, rows, None, tuning, registry, work, processes, reporter),
                     registry.methods.lookup("none").phases)

    tuned, seconds = kept_model(entry, source, "teacher", train, processes, reporter)
    return Teacher(tuned, probe=False, seconds=seconds)


def training_facts(role: str, source: LayerSource, data: TaskData, recipe: Recipe, keys: Iterable[str]
                   ) -> dict[str, Any]:
    """What decides a model that is trained before the student: itself as it starts, its rows, and how it is trained.

    Args:
        role: What it is, "teacher" or "assistant".
        source: The model before its training.
        data: What it is trained on.
        recipe: The run.
        keys: Those of the recipe that count.
    """
    return {role: source_facts(source), "data": data_facts(data), "torch": torch.__version__,
            "trained": [name for name, weight in source.model.named_parameters() if weight.requires_grad],
            "bf16": use_bf16(recipe.precision, pick_device(recipe.device)),
            "learning_rate": recipe.teacher_learning_rate or source.learning_rate,
            **{key: getattr(recipe, key) for key in keys if key not in LATER_KEYS
               or getattr(recipe, key) != type(recipe).model_fields[key].default}}


def kept_model(entry: Path, source: LayerSource, who: str, train: Callable[[Path], None], processes: Processes,
               reporter: Reporter) -> tuple[LayerSource, float]:
    """Read a trained model from the cache; where it is not there, train it and keep it.

    A second run waits for the first, then reads; a killed training goes on where it was.

    Args:
        entry: Its folder in the cache, named by all that decides it.
        source: The model before its training.
        who: What it is, for people.
        train: Trains `source` in place; its checkpoints go into the folder that it is given.
        processes: Who takes part.
        reporter: Where progress goes.

    Returns:
        The trained model, on the CPU, and the seconds that its training took in this run.
    """
    with processes.lock(entry.with_name(entry.name + ".lock"), reporter):
        work = entry.with_name(entry.name + ".work")
        if entry.is_dir():
            MODEL.read(entry / "config.json", f"{who} '{entry}'")
            if processes.is_main:  # of a process that was killed between the last two things that it had to do
                shutil.rmtree(work, ignore_errors=True)
            reporter.say(f"{who}: reused, trained before ({entry})")
            kind = type(source)
            return kind.load(entry, kind.Options()), 0.0
        start = time.perf_counter()
        work.mkdir(exist_ok=True)
        train(work)
        source.cpu()
        if processes.is_main:
            with whole_folder(entry) as folder:
                source.save(folder)
            shutil.rmtree(work, ignore_errors=True)
        return source, time.perf_counter() - start
