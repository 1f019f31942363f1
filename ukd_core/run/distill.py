"""One run, from a recipe to a run folder."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor
from transformers import set_seed

from ukd_core.layer_source import BuildContext, LayerSource
from ukd_core.method import Phase
from ukd_core.plugins import Registry, load_registry
from ukd_core.run.assistants import Link, check_default_chain, taught_chain
from ukd_core.run.baseline import baseline_recipe, check_distils, check_labels
from ukd_core.run.cache.answers import AnswerSettings, Question, TeacherAnswers, teacher_answers
from ukd_core.run.combination import find_method
from ukd_core.run.data import TaskData, encode_data, read_data
from ukd_core.run.device import pick_device, use_bf16
from ukd_core.run.embedded import cache_folder
from ukd_core.run.export.model_card import student_card
from ukd_core.run.files import whole_folder, write_text
from ukd_core.run.fingerprint import data_facts
from ukd_core.run.forward import classify
from ukd_core.run.live import LiveTeacher, check_shown, runs_live, same_rows
from ukd_core.run.measuring import folder_bytes, measured, stored_bytes
from ukd_core.run.mixture import check_mixture, mixed_answers
from ukd_core.run.outcome import run_metrics, seconds_before
from ukd_core.run.output import claim_output, finished_metrics, open_output, same_inputs, usable_cache
from ukd_core.run.phases import (
    Training,
    check_phases,
    needs_states,
    rehearse,
    train_phases,
    usable_phases,
)
from ukd_core.run.processes import Processes
from ukd_core.run.progress import Reporter
from ukd_core.run.recipe import Recipe
from ukd_core.run.rows import tokenize_data
from ukd_core.run.sources import SourcePlan, plan_source
from ukd_core.run.teacher import read_teacher, ready_teacher, taken_labels


@dataclass(frozen=True)
class Plan:
    """A recipe with every name looked up and every input read, before anything is trained or written."""

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


def distill(recipe: Recipe, *, overwrite: bool = False, resume: bool = False, keep_states: bool = False,
            reporter: Reporter | None = None, speed: bool = True, baseline: bool = False) -> dict[str, Any]:
    """Teach the student of a recipe and write its run folder.

    The folder holds ``recipe.yaml``, ``student/`` (readable by ``from_pretrained``), ``metrics.json``, ``log.jsonl``,
    ``layers.jsonl`` (see `Term.look`) and ``answers.safetensors`` (scores of student and teacher, and labels, of
    validation and test rows). It appears only when all input is checked and the teacher has answered. With assistants,
    "teacher" still is the one of the recipe, from whom the student learns through them; ``metrics.json`` has what each
    of them scores.

    Args:
        recipe: The run.
        overwrite: Replace a run that the output folder already holds.
        resume: Continue it from its last checkpoint; a finished run is returned as it is.
        keep_states: Keep the teacher's hidden states in the cache as well, for later runs whose methods need them.
        reporter: Where progress goes; standard error by default.
        speed: Measure at the end how fast teacher and student answer; not while other processes use the machine.
        baseline: Train the same student on labels alone as well, with the same seed and steps, into ``baseline/``
            within the run folder; `ukd_core.run.verdict` says what the difference is. A resumed run goes on with a
            baseline that was begun.

    Returns:
        What ``metrics.json`` holds.

    Raises:
        UKDError: anything in the recipe, the data, the models or the plug-ins that is not as expected.
    """
    processes = Processes(recipe.device)
    reporter = reporter or processes.reporter()
    if baseline:
        check_distils(recipe)
    claim_output(Path(recipe.output), recipe, overwrite=overwrite, resume=resume)
    other = baseline_recipe(recipe)
    baseline = baseline or (resume and (Path(other.output) / "recipe.yaml").is_file())
    if resume and (metrics := finished_metrics(Path(recipe.output))):
        reporter.say(f"run '{recipe.output}' is complete")
    else:
        plan = replace(make_plan(recipe), keep_states=keep_states)
        if baseline:
            check_labels(plan.data)
        metrics = _distilled(plan, processes, reporter, overwrite=overwrite, speed=speed)
    if baseline:
        reporter.say("baseline: the same student, trained on labels alone")
        completed(other, reporter)
    return metrics


def _distilled(plan: Plan, processes: Processes, reporter: Reporter, *, overwrite: bool, speed: bool) -> dict[str, Any]:
    """A run whose input is checked: from the teacher's answers to what ``metrics.json`` holds."""
    recipe = plan.recipe
    check_tokens(plan)
    chain, answers = ask_teachers(plan, processes, reporter)
    set_seed(recipe.seed)
    student = make_student(plan, chain[0].source)
    rows = tokenize_data(student, plan.data, recipe.max_length, plan.cache)
    training = Training(student, plan.data, rows, answers, recipe, plan.registry, Path(recipe.output), processes,
                        reporter, live_teacher(plan, chain[-1].source, student))
    rehearse(training, plan.phases)
    _open(training, answers, overwrite=overwrite)
    start = time.perf_counter()
    train_phases(training, plan.phases)
    trained = time.perf_counter()
    logits = score_student(training)
    seconds = {**seconds_before(chain), "train": trained - start, "eval": time.perf_counter() - trained}
    metrics = run_metrics(plan, chain, training, logits, seconds)
    if processes.is_main:
        _finish(training, chain[0], logits, metrics, speed=speed)
    processes.wait()
    return metrics


def completed(recipe: Recipe, reporter: Reporter, *, keep_states: bool = False) -> dict[str, Any]:
    """The metrics of a run: read where it is complete, resumed where it was begun, replaced where it was another.

    One of several runs: its models' speed is not measured.
    """
    folder = Path(recipe.output)
    begun = (folder / "recipe.yaml").is_file()
    same = begun and Recipe.read(folder / "recipe.yaml").written() == recipe.written()
    if same and (metrics := finished_metrics(folder)):
        reporter.say(f"{folder}: reused, it was complete")
        return metrics
    return distill(recipe, overwrite=begun and not same, resume=same, keep_states=keep_states, reporter=reporter,
                   speed=False)


def _open(training: Training, answers: TeacherAnswers, *, overwrite: bool) -> None:
    """Make the run folder; from here on there is something to resume."""
    data = training.data
    if not any(data.labelled(name).any() for name in data.splits if name != "train"):
        training.reporter.say("no labelled validation or test rows: the last checkpoint is taken, and nothing is "
                              "scored")
    if training.processes.is_main:
        open_output(training.folder, training.recipe, overwrite=overwrite)
        same_inputs(training.folder, {"data": data_facts(data), "scores": answers.entry.checksum})
    training.processes.wait()


def ask_teachers(plan: Plan, processes: Processes, reporter: Reporter) -> tuple[tuple[Link, ...], TeacherAnswers]:
    """The teacher made ready, then its assistants, all on the CPU; and the answers that the student learns from."""
    recipe = plan.recipe

    def ask(source: LayerSource, name: str, teaches: bool, probe: bool = False, keep: bool = False) -> TeacherAnswers:
        source.requires_grad_(False).to(pick_device(recipe.device))
        states = keep or (teaches and needs_states(plan.phases, plan.registry))
        question = Question(source, plan.data, _answer_settings(plan, probe, states), _make_head(plan), plan.cache,
                            {"teacher": name, "data": recipe.data}, recipe.rebuild_damaged)
        answers = teacher_answers(question, processes, reporter)
        source.cpu()
        return answers

    teacher = ready_teacher(plan.teacher, plan.data, recipe, plan.registry, plan.cache, processes, reporter)
    alone = not plan.assistants and not plan.default_assistants
    answers = ask(teacher.source, recipe.teacher, alone, teacher.probe, plan.keep_states)
    first = Link(recipe.teacher, teacher.source, answers, teacher.seconds)
    chain = taught_chain(plan, first, ask, processes, reporter)
    together = recipe.assistant_use == "ensemble"
    return chain, mixed_answers(plan, chain[1:], processes, reporter) if together else chain[-1].answers


def check_tokens(plan: Plan) -> None:
    """Where the teacher will run beside the student, see that both read the same tokens before anybody learns.

    Raises:
        InputError: they do not.
    """
    if runs_live(plan.phases, plan.registry):
        teacher, _ = read_teacher(plan.teacher, plan.data, plan.recipe)
        student = make_student(plan, teacher)
        if plan.assistants:  # the last of them is who runs beside the student
            teacher = plan.assistants[-1].start(_context(plan, teacher))
        live_teacher(plan, teacher, student)


def live_teacher(plan: Plan, teacher: LayerSource, student: LayerSource) -> LiveTeacher | None:
    """The teacher as it runs in training; None where no phase needs it there."""
    if not runs_live(plan.phases, plan.registry):
        return None
    recipe = plan.recipe
    return LiveTeacher(teacher, same_rows(_method(recipe), teacher, student, plan.data, recipe.max_length, plan.cache))


def _method(recipe: Recipe) -> str:
    return "phases" if recipe.phases else f"method '{recipe.method}'"


def make_plan(recipe: Recipe) -> Plan:
    """Look up every name and read every input of a recipe; nothing is written but downloads in the cache."""
    registry = load_registry(recipe.plugins, recipe.plugin_folder)
    cache = usable_cache(Path(recipe.cache).expanduser() if recipe.cache else cache_folder())
    use_bf16(recipe.precision, pick_device(recipe.device))
    space_type = registry.output_spaces.lookup(recipe.output_space)
    registry.pseudo_heads.lookup(recipe.pseudo_head)
    phases = recipe.phases or find_method(recipe.method, registry).phases
    check_phases(phases, recipe, registry)
    student = plan_source(recipe.student, registry, cache, "student")
    teacher = plan_source(recipe.teacher, registry, cache, "teacher")
    assistants = tuple(plan_source(text, registry, cache, "assistant") for text in recipe.assistants)
    beside = assistants[-1] if assistants else teacher
    check_shown(_method(recipe), phases, registry, student=student.kind, teacher=beside.kind)
    made = 0 if assistants or recipe.phases else find_method(recipe.method, registry).assistants
    check_default_chain(teacher, recipe.method, made)
    raw = read_data(recipe.data, text_columns=recipe.text_columns, label_column=recipe.label_column,
                    max_train_rows=recipe.max_train_rows, max_eval_rows=recipe.max_eval_rows,
                    max_labels=recipe.max_labels, validation_fraction=recipe.validation_fraction,
                    seed=recipe.data_seed, cache=cache)
    data = encode_data(raw, space_type, label_names=recipe.label_names,
                       teacher_labels=taken_labels(teacher, recipe, space_type), metric=recipe.metric)
    usable_phases(phases, registry, data)
    plan = Plan(recipe, registry, tuple(phases), teacher, student, data, cache, assistants, made)
    if recipe.assistant_use == "ensemble":
        check_mixture(plan)
    return plan


def make_student(plan: Plan, teacher: LayerSource) -> LayerSource:
    """The student before training: built new, or existing weights with a classifier for this space."""
    return plan.student.start(_context(plan, teacher))


def _context(plan: Plan, teacher: LayerSource) -> BuildContext:
    recipe = plan.recipe
    return BuildContext(plan.data.space, plan.data.texts(), teacher, recipe.max_length, recipe.seed)


def score_student(training: Training) -> dict[str, Tensor]:
    """The trained student's scores of every split but the training rows, (rows, C) each; leaves it on the CPU."""
    logits = {name: classify(training.source, rows)
              for name, rows in training.rows.items() if name != "train"}
    training.source.cpu()
    return logits


def _answer_settings(plan: Plan, probe: bool, states: bool) -> AnswerSettings:
    recipe = plan.recipe
    return AnswerSettings(
        max_length=recipe.max_length, head=recipe.pseudo_head, l2=recipe.head_l2, head_rows=recipe.head_rows,
        probe=probe, bf16=use_bf16(recipe.precision, pick_device(recipe.device)), dtype=recipe.cache_dtype,
        states=states)


def _make_head(plan: Plan) -> Any:
    kind, size = plan.registry.pseudo_heads.lookup(plan.recipe.pseudo_head), plan.data.space.size
    return lambda width: kind(width, size)


def _finish(training: Training, teacher: Link, logits: Mapping[str, Tensor], metrics: dict[str, Any], *,
            speed: bool) -> None:
    """Write the student and both sides' scores, then the metrics that make the run complete; drop the checkpoints."""
    folder, recipe = training.folder, training.recipe
    training.source.tokenizer.model_max_length = recipe.max_length
    if speed:
        metrics |= measured({"teacher": teacher.source.cpu(), "student": training.source}, training.data,
                            recipe.max_length, pick_device(recipe.device).type)
    shutil.rmtree(folder / "student", ignore_errors=True)
    with whole_folder(folder / "student") as scratch:
        training.source.save(scratch)
        write_text(scratch / "README.md", student_card(training.source, metrics, training.recipe))
    kept: dict[str, Tensor] = {}
    for split, scores in logits.items():
        given = teacher.answers.scores(split).whole()[:, -1].contiguous()
        kept |= {f"{split}.student": scores, f"{split}.teacher": given, f"{split}.labels": training.data.labels(split)}
    save_file(kept, folder / "answers.safetensors")
    metrics["teacher"]["bytes"] = stored_bytes(teacher.source)
    metrics["student"]["bytes"] = folder_bytes(folder / "student")
    write_text(folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
