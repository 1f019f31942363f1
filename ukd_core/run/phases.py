"""Phases of training, one after another; each has its own terms, optimizer and schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor
from transformers import TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint

from ukd_core.errors import InputError
from ukd_core.method import Phase
from ukd_core.projector import Projector, ProjectorSetup
from ukd_core.run.device import pick_device, use_bf16
from ukd_core.run.trainer import (
    DistillationModel,
    DistillationTrainer,
    EvaluateLast,
    JsonLog,
    ProgressBar,
    ProgressToTerms,
    RowDataset,
)
from ukd_core.spec import parse_spec, read_options
from ukd_core.term import Term, TermSetup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ukd_core.layer_source import LayerSource
    from ukd_core.plugins import Registry
    from ukd_core.run.data import TaskData
    from ukd_core.run.forward import TokenizedRows
    from ukd_core.run.progress import Reporter
    from ukd_core.run.recipe import Recipe


@dataclass(frozen=True)
class Training:
    """What all phases of one model share."""

    source: LayerSource
    data: TaskData
    rows: Mapping[str, TokenizedRows]
    """The splits as `source` reads them."""
    scores: Mapping[str, Tensor] | None
    """Teacher answers by split, (rows, T + 1, C); None where no teacher is involved."""
    recipe: Recipe
    registry: Registry
    folder: Path
    """Where checkpoints and log.jsonl go."""
    reporter: Reporter

    @property
    def labels(self) -> dict[str, Tensor]:
        """Encoded labels by split."""
        return {name: torch.as_tensor(split["label"][:]) for name, split in self.data.splits.items()}


def train_phases(training: Training, phases: Sequence[Phase]) -> None:
    """Train the source in place through all phases; a phase that was finished before is read, not repeated."""
    phases = usable_phases(phases, training.registry, training.data)
    device = pick_device(training.recipe.device)
    for number, phase in enumerate(phases, start=1):
        folder = training.folder / "checkpoints" / f"{number}-{phase.name}"
        finished = folder / "finished.safetensors"
        if not finished.is_file():
            select_best = number == len(phases) or phases[number].start == "best"
            _train_phase(training, phase, number, folder, select_best)
            scratch = folder / "finished.partial"
            save_model(training.source.model, str(scratch))
            scratch.replace(finished)
        load_model(training.source.model, str(finished))
    training.source.to(device)
    training.source.label_names = training.data.space.labels


def usable_phases(phases: Sequence[Phase], registry: Registry, data: TaskData) -> list[Phase]:
    """The phases that have rows to train on; the others give their share to these.

    A phase whose every term needs labels has rows only where the training split has labels.

    Raises:
        InputError: no phase is left.
    """
    if data.space.is_labelled(torch.as_tensor(data.splits["train"]["label"][:])).any():
        return list(phases)
    usable = [phase for phase in phases if not labels_only(phase, registry)]
    if not usable:
        raise InputError("data", "the method trains on labels alone, but no training row has one",
                         "Choose a method that learns from the teacher, or give labels.")
    total = sum(phase.share for phase in usable)
    return [phase.model_copy(update={"share": phase.share / total}) for phase in usable]


def check_phases(phases: Sequence[Phase], recipe: Recipe, registry: Registry) -> None:
    """Look up every term and projector that the phases name, and check their options; builds nothing.

    Raises:
        UnknownNameError: a term or projector that nobody registers.
        InputError: an option that it does not take.
    """
    for phase in phases:
        for spec in phase.terms:
            kind = registry.terms.lookup(spec.term)
            read_options(kind.Options, spec.options, f"term '{spec.term}'")
    if recipe.projector is not None:
        find_projector(recipe.projector, registry)


def labels_only(phase: Phase, registry: Registry) -> bool:
    """Whether an unlabelled row teaches nothing in this phase."""
    return all("labels" in registry.terms.lookup(spec.term).needs for spec in phase.terms)


def find_projector(spec: str, registry: Registry) -> tuple[type[Projector], Any]:
    """Class and options of a projector from its short form, ``name:key=value,...``."""
    parsed = parse_spec(spec)
    kind = registry.projectors.lookup(parsed.name)
    return kind, read_options(kind.Options, parsed.options, f"projector '{parsed.name}'")


def make_terms(phase: Phase, training: Training) -> dict[str, Term]:
    """The terms of a phase by their name in the log, with their heads and projectors."""
    recipe, registry, space = training.recipe, training.registry, training.data.space
    layers = 1 if training.scores is None else training.scores["train"].shape[1] - 1
    head = registry.pseudo_heads.lookup(recipe.pseudo_head)

    def make_projector(spec: str, student_layers: int, teacher_layers: int) -> Projector:
        kind, options = find_projector(spec, registry)
        return kind(options, ProjectorSetup(student_layers, teacher_layers, space.size, space.shift_invariant))

    setup = TermSetup(
        space=space, student_widths=training.source.widths, teacher_layers=layers, temperature=recipe.temperature,
        projector=recipe.projector, make_projector=make_projector, make_head=lambda width: head(width, space.size))
    terms = {}
    for spec in phase.terms:
        kind = registry.terms.lookup(spec.term)
        terms[spec.key] = kind(read_options(kind.Options, spec.options, f"term '{spec.term}'"), setup)
    return terms


def _train_phase(training: Training, phase: Phase, number: int, folder: Path, select_best: bool) -> None:
    recipe, space = training.recipe, training.data.space
    set_seed(recipe.seed + number)
    terms = make_terms(phase, training)
    model = DistillationModel(training.source, terms, {spec.key: spec.weight for spec in phase.terms}, space)
    train, validation = _datasets(training, phase, terms)
    steps_a_pass = math.ceil(len(training.rows["train"]) / recipe.batch_size)
    steps = max(1, round(phase.share * recipe.epochs * steps_a_pass))
    args = _arguments(training, folder, steps, min(steps, steps_a_pass),
                      evaluate=validation is not None, select_best=validation is not None and select_best)
    with training.reporter.track(f"{training.source.name}: {phase.name}", steps) as advance:
        trainer = DistillationTrainer(
            model, args, train=train, validation=validation, head_learning_rate=recipe.head_learning_rate,
            callbacks=[ProgressToTerms(list(terms.values())), JsonLog(training.folder / "log.jsonl", phase.name),
                       EvaluateLast(), ProgressBar(advance)])
        trainer.train(resume_from_checkpoint=get_last_checkpoint(str(folder)) if folder.is_dir() else None)


def _datasets(training: Training, phase: Phase, terms: Mapping[str, Term]) -> tuple[RowDataset, RowDataset | None]:
    labels, space = training.labels, training.data.space
    keep = None
    if labels_only(phase, training.registry):
        keep = space.is_labelled(labels["train"]).nonzero().flatten()
    asked = any("teacher-scores" in term.needs for term in terms.values())
    scores = training.scores["train"] if training.scores is not None and asked else None
    train = RowDataset(training.source, training.rows["train"], labels["train"], scores, keep)
    if "validation" not in labels or not space.is_labelled(labels["validation"]).any():
        return train, None
    return train, RowDataset(training.source, training.rows["validation"], labels["validation"])


def _arguments(training: Training, folder: Path, steps: int, interval: int, *, evaluate: bool,
               select_best: bool) -> TrainingArguments:
    recipe = training.recipe
    device = pick_device(recipe.device)
    return TrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=64, learning_rate=recipe.learning_rate or training.source.learning_rate,
        weight_decay=recipe.weight_decay, warmup_steps=round(recipe.warmup * steps), lr_scheduler_type="linear",
        seed=recipe.seed, data_seed=recipe.seed, bf16=use_bf16(recipe.precision, device),
        use_cpu=device.type == "cpu", dataloader_pin_memory=device.type == "cuda",
        train_sampling_strategy="group_by_length" if recipe.group_by_length else "random",
        remove_unused_columns=False, report_to="none", disable_tqdm=True, logging_steps=max(1, min(50, steps // 20)),
        eval_strategy="steps" if evaluate else "no", eval_steps=interval, save_strategy="steps",
        save_steps=interval, save_total_limit=2, load_best_model_at_end=select_best,
        metric_for_best_model=training.data.space.primary_metric if select_best else None, greater_is_better=True)
