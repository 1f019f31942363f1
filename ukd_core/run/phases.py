"""Phases of training, one after another; each has its own terms, optimizer and schedule."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainingArguments, set_seed

from ukd_core.errors import InputError, Problems
from ukd_core.method import Phase
from ukd_core.projector import Projector, ProjectorSetup
from ukd_core.run.batches import RowBatches, RowDataset
from ukd_core.run.device import pick_device, use_bf16
from ukd_core.run.finished import Ending, ending_of, finish_phase, read_finished
from ukd_core.run.garbage import only_new_garbage
from ukd_core.run.guards import FewCheckpoints
from ukd_core.run.held_out import held_out_rows
from ukd_core.run.kept import CHECKPOINTS, FINISHED, all_checkpoints, whole_checkpoints
from ukd_core.run.live import LiveTeacher, needs_of, runs_live
from ukd_core.run.looks import LayerLog, sample_of
from ukd_core.run.processes import Processes
from ukd_core.run.trainer import (
    DistillationModel,
    DistillationTrainer,
    JsonLog,
    LastStep,
    ProgressBar,
    ProgressToModel,
)
from ukd_core.run.vocabulary import trim_vocabulary
from ukd_core.silence import quiet
from ukd_core.spec import parse_spec, read_options
from ukd_core.term import Term, TermSetup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ukd_core.layer_source import LayerSource
    from ukd_core.plugins import Registry
    from ukd_core.run.cache.answers import TeacherAnswers
    from ukd_core.run.data import TaskData
    from ukd_core.run.progress import Reporter
    from ukd_core.run.recipe import Recipe
    from ukd_core.run.rows import TokenizedRows

LOGS = 20
"""Lines of losses that a run's log has, about, or more where there are many steps; a phase has its share of them."""
LEAST_STEPS = 50
"""Steps between checkpoints that are not compared: a pass over a few hundred rows takes less time than a checkpoint."""
_FOLDER_NAME = re.compile(r"\w[\w .+-]{0,99}")


@dataclass(frozen=True)
class Training:
    """What all phases of one model share."""

    source: LayerSource
    data: TaskData
    rows: Mapping[str, TokenizedRows]
    """The splits as `source` reads them."""
    answers: TeacherAnswers | None
    """None where no teacher is involved."""
    recipe: Recipe
    registry: Registry
    folder: Path
    """Where checkpoints, log.jsonl and layers.jsonl go."""
    processes: Processes
    reporter: Reporter
    teacher: LiveTeacher | None = None
    """The teacher, where some phase needs it to run in every step."""


def train_phases(training: Training, phases: Sequence[Phase]) -> list[Ending]:
    """Train the source in place through all phases; a phase that was finished before is read, not repeated.

    Where validation rows compare checkpoints, a phase that starts from the best one of the phase before and ends below
    it leaves the source as it began: the run ends with the best of the checkpoints of both.

    Returns:
        What each phase came to, also one that was finished before.
    """
    phases = usable_phases(phases, training.registry, training.data)
    device = pick_device(training.recipe.device)
    trimmed = None
    if training.recipe.trim_vocabulary:
        rows, trimmed = trim_vocabulary(training.source, training.rows)
        training = replace(training, rows=rows)
    budget = phase_steps(training.recipe, len(training.rows["train"]), phases)
    before: Path | None = None
    endings = []
    for number, phase in enumerate(phases, start=1):
        folder = training.folder / CHECKPOINTS / f"{number}-{phase.name}"
        finished = folder / FINISHED
        if finished.is_file():
            read_finished(training.source, finished)
        else:
            select_best = number == len(phases) or phases[number].start == "best"
            with only_new_garbage():
                reached = _train_phase(training, phase, number, budget, folder, select_best)
            finish_phase(training, phase, finished, reached, before)
        endings.append(ending_of(phase, finished))
        before = finished
    if trimmed is not None:
        trimmed.restore()
    training.source.to(device)
    training.source.label_names = training.data.space.labels
    return endings


def rehearse(training: Training, phases: Sequence[Phase]) -> None:
    """Two rows through every phase, so that parts that do not fit each other are found before anything is written.

    Raises:
        UKDError: what a term or projector says of layers, widths or options that do not fit.
    """
    for phase in usable_phases(phases, training.registry, training.data):
        model, batch = phase_batch(training, phase, 2)
        model.train().source.eval()
        with torch.no_grad():
            model(**batch)


def phase_batch(training: Training, phase: Phase, rows: int) -> tuple[DistillationModel, dict[str, Any]]:
    """What a phase trains, and its first rows (at most so many) as a batch of it; on the device of the source."""
    model = _model(training, phase)
    train, _ = _datasets(training, phase, model)
    return model, train.__getitems__(range(min(rows, len(train))))


def usable_phases(phases: Sequence[Phase], registry: Registry, data: TaskData) -> list[Phase]:
    """The phases that have rows to train on; the others give their share to these.

    A phase whose every term needs labels has rows only where the training split has labels.

    Raises:
        InputError: no phase is left.
    """
    if data.labelled("train").any():
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
        InputError: an option that it does not take, two terms of one name in a phase, or shares that are not a whole.
    """
    problems = Problems()
    total = math.fsum(phase.share for phase in phases)
    if not math.isclose(total, 1.0, abs_tol=1e-6):
        raise InputError("phases", f"expected shares that sum to 1, got {total:g}", "Change the share of a phase.")
    for phase in phases:
        _check_names(phase)
        for spec in phase.terms:
            with problems.gathered():
                kind = registry.terms.lookup(spec.term)
                read_options(kind.Options, spec.options, f"term '{spec.term}'")
    if recipe.projector is not None:
        problems.attempt(find_projector, recipe.projector, registry)
    problems.tell()


def _check_names(phase: Phase) -> None:
    """A phase names a folder; its terms are entries of the log and of an `nn.ModuleDict`."""
    if not _FOLDER_NAME.fullmatch(phase.name):
        raise InputError(f"phase '{phase.name}'", "expected a name of at most 100 letters, digits, blanks and . _ + -",
                         "It names a folder; choose another.")
    keys = [spec.key for spec in phase.terms]
    wrong = next((key for key in keys if keys.count(key) > 1 or not key or "." in key or hasattr(nn.ModuleDict, key)),
                 None)
    if wrong is not None:
        raise InputError(f"phase '{phase.name}'", f"expected a name without dots for each term, each once, got "
                                                  f"{wrong!r}", "Give the term a label of its own.")


def needs_states(phases: Sequence[Phase], registry: Registry) -> bool:
    """Whether some term learns from pooled states that have to be kept; a teacher that runs anyway shows its own."""
    return any("teacher-states" in needs_of(phase, registry) and not runs_live([phase], registry) for phase in phases)


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
    layers = 1 if training.answers is None else training.answers.scores("train").shape[1] - 1
    head = registry.pseudo_heads.lookup(recipe.pseudo_head)
    passes = max(1, round(recipe.epochs * phase.share))
    labelled_rows = held_out_rows(training.data, None if training.answers is None else training.answers.scores)

    def make_projector(spec: str, student_layers: int, teacher_layers: int, width: int | None = None) -> Projector:
        kind, options = find_projector(spec, registry)
        shape = (space.size, space.shift_invariant) if width is None else (width, False)
        held_out = labelled_rows(teacher_layers) if width is None else None
        return kind(options, ProjectorSetup(student_layers, teacher_layers, *shape, passes, held_out))

    student, teacher = training.source, None if training.teacher is None else training.teacher.source
    kept = () if training.answers is None else training.answers.widths
    setup = TermSetup(
        space=space, student_widths=student.widths, teacher_layers=layers, temperature=recipe.temperature,
        projector=recipe.projector, make_projector=make_projector, make_head=lambda width: head(width, space.size),
        teacher_widths=kept if teacher is None else teacher.widths,
        student_embedding_width=student.embedding_width if student.embeddings_available else None,
        teacher_embedding_width=teacher.embedding_width if teacher is not None and teacher.embeddings_available
        else None, class_weights=recipe.class_weights, class_counts=_class_counts(training.data))
    terms, problems = {}, Problems()
    for spec in phase.terms:
        kind = registry.terms.lookup(spec.term)
        with problems.gathered():
            terms[spec.key] = kind(read_options(kind.Options, spec.options, f"term '{spec.term}'"), setup)
    problems.tell()
    return terms


def _class_counts(data: TaskData) -> tuple[int, ...] | None:
    if data.space.problem_type != "single_label_classification":
        return None
    labels = data.labels("train")[data.labelled("train")]
    return tuple(torch.bincount(labels, minlength=data.space.size).tolist())


def phase_steps(recipe: Recipe, rows: int, phases: Sequence[Phase]) -> list[int]:
    """Training steps of each phase, at least one; together those of the budget, however shares are rounded.

    Args:
        recipe: Says how many passes over the training rows there are, and how many rows a step has.
        rows: Training rows, labelled or not.
        phases: Those that are trained.
    """
    total = recipe.epochs * math.ceil(rows / recipe.batch_size)
    ends = [round(total * math.fsum(phase.share for phase in phases[: number + 1])) for number in range(len(phases))]
    return [max(1, end - begin) for begin, end in zip([0, *ends], ends, strict=False)]


def checkpoint_interval(recipe: Recipe, rows: int, own: int, *, compared: bool) -> int:
    """Steps between checkpoints: as many passes over the rows of a phase as come near one over all training rows.

    Where checkpoints are not compared they only serve a resumed run: then as many passes as have `LEAST_STEPS`.

    Between passes the order of batches is drawn anew, so that a resumed run draws the same one.

    Args:
        recipe: Says how many rows a step has.
        rows: Training rows.
        own: Those that take part in the phase.
        compared: Whether there are validation rows to compare checkpoints on.
    """
    own_pass = math.ceil(own / recipe.batch_size)
    passes = max(1, round(math.ceil(rows / recipe.batch_size) / own_pass))
    return own_pass * (passes if compared else max(passes, math.ceil(LEAST_STEPS / own_pass)))


def _train_phase(training: Training, phase: Phase, number: int, budget: Sequence[int], folder: Path,
                 select_best: bool) -> float | None:
    """Train one phase; the metric that its weights have on validation rows, None where nothing was compared."""
    recipe, steps = training.recipe, budget[number - 1]
    seed = (recipe.seed + number) % 2**32
    set_seed(seed)
    model = _model(training, phase)
    train, validation = _datasets(training, phase, model)
    interval = checkpoint_interval(recipe, len(training.rows["train"]), len(train), compared=validation is not None)
    args = _arguments(training, folder, seed, steps, min(steps, interval), sum(budget),
                      evaluate=validation is not None, select_best=validation is not None and select_best)
    batches = RowBatches(train.lengths(), recipe.batch_size, seed, by_length=recipe.group_by_length,
                         processes=training.processes, labelled=training.data.labelled("train")[train.keep],
                         unlabelled_weight=recipe.unlabelled_weight, steps=steps)
    title = f"{training.source.name}: {phase.name}"
    with training.reporter.track(title, steps) as advance, quiet():
        trainer = DistillationTrainer(
            model, args, train=train, batches=batches, validation=validation, processes=training.processes,
            head_learning_rate=recipe.head_learning_rate, registry=training.registry,
            callbacks=[FewCheckpoints(), ProgressToModel(model), *_logs(training, phase, number, model), LastStep(),
                       ProgressBar(advance)])
        with _beside(model.live, args):
            trainer.train(resume_from_checkpoint=_last_checkpoint(folder, training.processes))
        if model.live is not None:
            model.live.rows_forwarded += trainer.teacher_rows()
    return trainer.state.best_metric if args.load_best_model_at_end else None


def _logs(training: Training, phase: Phase, number: int, model: DistillationModel) -> list[TrainerCallback]:
    """What writes the logs of a phase: losses and metrics, and how the layers are doing."""
    writes, sample = training.processes.is_main, sample_of(training)
    logs: list[TrainerCallback] = [JsonLog(training.folder / "log.jsonl", phase.name, number, writes)]
    if sample is not None:
        logs.append(LayerLog(training.folder / "layers.jsonl", phase.name, number, model, sample, writes))
    return logs


@contextmanager
def _beside(teacher: LiveTeacher | None, args: TrainingArguments) -> Iterator[None]:
    """Within the context the teacher is on the device of the training."""
    if teacher is not None:
        teacher.source.to(args.device)
    try:
        yield
    finally:
        if teacher is not None:
            teacher.source.cpu()


def _last_checkpoint(folder: Path, processes: Processes) -> str | None:
    """The newest whole checkpoint; what a kill left half-written after it is removed."""
    found, whole = all_checkpoints(folder), whole_checkpoints(folder)
    processes.wait()
    if processes.is_main:
        for checkpoint in found[: found.index(whole[0]) if whole else None]:
            shutil.rmtree(checkpoint)
    return str(whole[0]) if whole else None


def _model(training: Training, phase: Phase) -> DistillationModel:
    live = training.teacher if runs_live([phase], training.registry) else None
    return DistillationModel(training.source, make_terms(phase, training), phase.terms, training.data.space, live)


def _datasets(training: Training, phase: Phase, model: DistillationModel) -> tuple[RowDataset, RowDataset | None]:
    data, keep = training.data, None
    if labels_only(phase, training.registry):
        keep = data.labelled("train").nonzero().flatten()
    needs, answers, live = needs_of(phase, training.registry), training.answers, model.live
    scores = answers.scores("train") if answers is not None and "teacher-scores" in needs else None
    states = answers.states("train") if answers is not None and live is None and "teacher-states" in needs else ()
    train = RowDataset(training.rows["train"], data.labels("train"), scores, states, keep,
                       None if live is None else live.rows)
    if "validation" not in data.splits or not data.labelled("validation").any():
        return train, None
    return train, RowDataset(training.rows["validation"], data.labels("validation"))


def _arguments(training: Training, folder: Path, seed: int, steps: int, interval: int, all_steps: int, *,
               evaluate: bool, select_best: bool) -> TrainingArguments:
    recipe = training.recipe
    device = pick_device(recipe.device)
    args = TrainingArguments(
        output_dir=str(folder), max_steps=steps,
        per_device_train_batch_size=max(1, recipe.batch_size // training.processes.count),
        per_device_eval_batch_size=64, learning_rate=recipe.learning_rate or training.source.learning_rate,
        weight_decay=recipe.weight_decay, warmup_steps=round(recipe.warmup * steps), lr_scheduler_type="linear",
        seed=seed, data_seed=seed, bf16=use_bf16(recipe.precision, device),
        use_cpu=device.type == "cpu", dataloader_pin_memory=device.type == "cuda", torch_compile=recipe.compile,
        remove_unused_columns=False, report_to="none", disable_tqdm=True, logging_nan_inf_filter=False,
        logging_steps=max(1, min(50, round(all_steps / LOGS))),
        eval_strategy="steps" if evaluate else "no", eval_steps=interval, save_strategy="steps",
        save_steps=interval, load_best_model_at_end=select_best,
        metric_for_best_model=training.data.space.metric if select_best else None, greater_is_better=True)
    if args.n_gpu > 1:  # several GPUs need several processes; in one, batches would grow without anyone asking
        args._n_gpu = 1
    return args
