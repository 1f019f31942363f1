"""One run, from a recipe to a run folder."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import save_file
from torch import Tensor
from transformers import set_seed

from ukd_core.layer_source import BuildContext, LayerSource
from ukd_core.method import Phase
from ukd_core.plugins import Registry, load_registry
from ukd_core.run.assistants import Link, check_default_chain, taught_chain
from ukd_core.run.cache.answers import AnswerSettings, Question, TeacherAnswers, teacher_answers
from ukd_core.run.data import TaskData, encode_data, read_data
from ukd_core.run.device import pick_device, use_bf16
from ukd_core.run.embedded import cache_folder
from ukd_core.run.files import whole_folder, write_text
from ukd_core.run.fingerprint import data_facts
from ukd_core.run.forward import classify
from ukd_core.run.mixture import check_mixture, mixed_answers
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
from ukd_core.run.teacher import ready_teacher, taken_labels
from ukd_core.run.trainer import evaluate_scores

if TYPE_CHECKING:
    from ukd_core.output_space import OutputSpace

RUN_FORMAT = 1


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


def distill(recipe: Recipe, *, overwrite: bool = False, resume: bool = False,
            reporter: Reporter | None = None) -> dict[str, Any]:
    """Teach the student of a recipe and write its run folder.

    The folder holds ``recipe.yaml``, ``student/`` (readable by ``from_pretrained``), ``metrics.json``, ``log.jsonl`` and
    ``answers.safetensors`` (scores of student and teacher, and labels, of validation and test rows). It appears only
    when all input is checked and the teacher has answered. With assistants, "teacher" still is the one of the recipe,
    from whom the student learns through them; ``metrics.json`` has what each of them scores.

    Args:
        recipe: The run.
        overwrite: Replace a run that the output folder already holds.
        resume: Continue it from its last checkpoint; a finished run is returned as it is.
        reporter: Where progress goes; standard error by default.

    Returns:
        What ``metrics.json`` holds.

    Raises:
        UKDError: anything in the recipe, the data, the models or the plug-ins that is not as expected.
    """
    processes = Processes(recipe.device)
    reporter = reporter or processes.reporter()
    claim_output(Path(recipe.output), recipe, overwrite=overwrite, resume=resume)
    if resume and (metrics := finished_metrics(Path(recipe.output))):
        reporter.say(f"run '{recipe.output}' is complete")
        return metrics
    plan = make_plan(recipe)
    chain, answers = ask_teachers(plan, processes, reporter)
    set_seed(recipe.seed)
    student = make_student(plan, chain[0].source)
    rows = tokenize_data(student, plan.data, recipe.max_length, plan.cache)
    training = Training(student, plan.data, rows, answers, recipe, plan.registry, Path(recipe.output), processes,
                        reporter)
    rehearse(training, plan.phases)
    if not any(plan.data.labelled(name).any() for name in plan.data.splits if name != "train"):
        reporter.say("no labelled validation or test rows: the last checkpoint is taken, and nothing is scored")
    _open(training, answers, overwrite=overwrite)
    start = time.perf_counter()
    train_phases(training, plan.phases)
    trained = time.perf_counter()
    logits = score_student(training)
    seconds = {**_seconds_of(chain), "train": trained - start, "eval": time.perf_counter() - trained}
    metrics = _metrics(plan, chain, student, logits, seconds) | _weights_of(answers)
    student.tokenizer.model_max_length = recipe.max_length
    if processes.is_main:
        _finish(training, chain[0].answers, logits, metrics)
    processes.wait()
    return metrics


def completed(recipe: Recipe, reporter: Reporter) -> dict[str, Any]:
    """The metrics of a run: read where it is complete, resumed where it was begun, replaced where it was another."""
    folder = Path(recipe.output)
    begun = (folder / "recipe.yaml").is_file()
    same = begun and Recipe.read(folder / "recipe.yaml").written() == recipe.written()
    if same and (metrics := finished_metrics(folder)):
        return metrics
    return distill(recipe, overwrite=begun and not same, resume=same, reporter=reporter)


def _open(training: Training, answers: TeacherAnswers, *, overwrite: bool) -> None:
    """Make the run folder; from here on there is something to resume."""
    if training.processes.is_main:
        open_output(training.folder, training.recipe, overwrite=overwrite)
        same_inputs(training.folder, {"data": data_facts(training.data), "scores": answers.entry.checksum})
    training.processes.wait()


def ask_teachers(plan: Plan, processes: Processes, reporter: Reporter) -> tuple[tuple[Link, ...], TeacherAnswers]:
    """The teacher made ready, then its assistants, all on the CPU; and the answers that the student learns from."""
    recipe = plan.recipe

    def ask(source: LayerSource, name: str, last: bool, probe: bool = False) -> TeacherAnswers:
        source.requires_grad_(False).to(pick_device(recipe.device))
        question = Question(source, plan.data, _answer_settings(plan, probe, last), _make_head(plan), plan.cache,
                            {"teacher": name, "data": recipe.data}, recipe.rebuild_damaged)
        answers = teacher_answers(question, processes, reporter)
        source.cpu()
        return answers

    teacher = ready_teacher(plan.teacher, plan.data, recipe, plan.registry, plan.cache, processes, reporter)
    alone = not plan.assistants and not plan.default_assistants
    answers = ask(teacher.source, recipe.teacher, alone, teacher.probe)
    first = Link(recipe.teacher, teacher.source, answers, teacher.seconds)
    chain = taught_chain(plan, first, ask, processes, reporter)
    together = recipe.assistant_use == "ensemble"
    return chain, mixed_answers(plan, chain[1:], processes, reporter) if together else chain[-1].answers


def make_plan(recipe: Recipe) -> Plan:
    """Look up every name and read every input of a recipe; nothing is written but downloads in the cache."""
    registry = load_registry(recipe.plugins, recipe.plugin_folder)
    cache = usable_cache(Path(recipe.cache).expanduser() if recipe.cache else cache_folder())
    use_bf16(recipe.precision, pick_device(recipe.device))
    space_type = registry.output_spaces.lookup(recipe.output_space)
    registry.pseudo_heads.lookup(recipe.pseudo_head)
    phases = recipe.phases or registry.methods.lookup(recipe.method).phases
    check_phases(phases, recipe, registry)
    student = plan_source(recipe.student, registry, cache, "student")
    teacher = plan_source(recipe.teacher, registry, cache, "teacher")
    assistants = tuple(plan_source(text, registry, cache, "assistant") for text in recipe.assistants)
    made = 0 if assistants or recipe.phases else registry.methods.lookup(recipe.method).assistants
    check_default_chain(teacher, recipe.method, made)
    raw = read_data(recipe.data, text_columns=recipe.text_columns, label_column=recipe.label_column,
                    max_train_rows=recipe.max_train_rows, max_eval_rows=recipe.max_eval_rows,
                    max_labels=recipe.max_labels, validation_fraction=recipe.validation_fraction,
                    seed=recipe.data_seed, cache=cache)
    data = encode_data(raw, space_type, label_names=recipe.label_names,
                       teacher_labels=taken_labels(teacher, recipe, space_type))
    usable_phases(phases, registry, data)
    plan = Plan(recipe, registry, tuple(phases), teacher, student, data, cache, assistants, made)
    if recipe.assistant_use == "ensemble":
        check_mixture(plan)
    return plan


def make_student(plan: Plan, teacher: LayerSource) -> LayerSource:
    """The student before training: built new, or existing weights with a classifier for this space."""
    recipe = plan.recipe
    return plan.student.start(BuildContext(plan.data.space, plan.data.texts(), teacher, recipe.max_length, recipe.seed))


def score_student(training: Training) -> dict[str, Tensor]:
    """The trained student's scores of every split but the training rows, (rows, C) each; leaves it on the CPU."""
    logits = {name: classify(training.source, rows)
              for name, rows in training.rows.items() if name != "train"}
    training.source.cpu()
    return logits


def _answer_settings(plan: Plan, probe: bool, last: bool) -> AnswerSettings:
    recipe = plan.recipe
    return AnswerSettings(
        max_length=recipe.max_length, head=recipe.pseudo_head, l2=recipe.head_l2, head_rows=recipe.head_rows,
        probe=probe, bf16=use_bf16(recipe.precision, pick_device(recipe.device)), dtype=recipe.cache_dtype,
        states=last and needs_states(plan.phases, plan.registry))


def _make_head(plan: Plan) -> Any:
    kind, size = plan.registry.pseudo_heads.lookup(plan.recipe.pseudo_head), plan.data.space.size
    return lambda width: kind(width, size)


def _seconds_of(chain: Sequence[Link]) -> dict[str, float]:
    """Spent before the student: on training the teacher and assistants, and on their answers."""
    trained = {"teacher_finetune": chain[0].seconds}
    if len(chain) > 1:
        trained["assistants"] = sum(link.seconds for link in chain[1:])
    return {**trained, **{key: sum(link.answers.seconds[key] for link in chain) for key in ("teacher_pass", "heads")}}


def _weights_of(answers: TeacherAnswers) -> dict[str, Any]:
    """Of the assistants in a mixture; nothing where one model alone teaches the student."""
    return {"assistant_weights": answers.entry.about["weights"]} if "weights" in answers.entry.about else {}


def _metrics(plan: Plan, chain: Sequence[Link], student: LayerSource, logits: Mapping[str, Tensor],
             seconds: Mapping[str, float]) -> dict[str, Any]:
    space, recipe, answers = plan.data.space, plan.recipe, chain[0].answers
    labels = {name: plan.data.labels(name) for name in logits}
    split = "validation" if "validation" in logits else "test" if "test" in logits else None

    def scored(scores: Mapping[str, Tensor]) -> dict[str, Any]:
        return {name: dict(evaluate_scores(scores[name], labels[name], space)) for name in logits}

    asked = {name: answers.scores(name).whole() for name in logits}
    by_layer = [] if split is None else [
        evaluate_scores(asked[split][:, layer], labels[split], space).get(space.primary_metric)
        for layer in range(chain[0].source.num_layers)]
    metrics: dict[str, Any] = {
        "format": RUN_FORMAT, "method": "custom" if recipe.phases else recipe.method,
        "seed": recipe.seed, "evaluated_on": split,
        "labels": list(space.labels), "rows": {name: len(part) for name, part in plan.data.splits.items()},
        "layer_accuracy": by_layer,
        "teacher_rows_forwarded": sum(link.answers.rows_forwarded for link in chain), "seconds": dict(seconds)}
    sides = []
    for text, source, by_split in (
            *((link.name, link.source, scored({n: link.answers.scores(n).whole()[:, -1] for n in logits}))
              for link in chain),
            (recipe.student, student, scored(logits))):
        sides.append({"name": text, "layers": source.num_layers, "parameters": source.num_parameters,
                      "metrics": by_split.get(split, {}) if split else {}, "by_split": by_split})
    metrics |= {"teacher": sides[0], "assistants": sides[1:-1], "student": sides[-1]}
    metrics["agreement"] = {name: _agreement(asked[name][:, -1], scores, space)
                            for name, scores in logits.items()}
    return metrics


def _agreement(teacher: Tensor, student: Tensor, space: OutputSpace) -> float | None:
    """Share of rows (or labels) on which both answer the same; None where answers are measured, not named."""
    if space.problem_type == "regression":
        return None
    return float((space.predictions(teacher) == space.predictions(student)).float().mean())


def _finish(training: Training, answers: TeacherAnswers, logits: Mapping[str, Tensor], metrics: Mapping[str, Any]
            ) -> None:
    """Write the student and both sides' scores, then the metrics that mark the run as complete; drop the checkpoints."""
    folder = training.folder
    shutil.rmtree(folder / "student", ignore_errors=True)
    with whole_folder(folder / "student") as scratch:
        training.source.save(scratch)
    kept: dict[str, Tensor] = {}
    for split, scores in logits.items():
        kept |= {f"{split}.student": scores, f"{split}.teacher": answers.scores(split).whole()[:, -1].contiguous(),
                 f"{split}.labels": training.data.labels(split)}
    save_file(kept, folder / "answers.safetensors")
    write_text(folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
