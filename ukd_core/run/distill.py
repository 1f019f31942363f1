"""One run, from a recipe to a run folder."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor
from transformers import set_seed

from ukd_core.layer_source import LayerSource
from ukd_core.run.assistants import Link, taught_chain
from ukd_core.run.baseline import baseline_recipe, check_distils, check_labels
from ukd_core.run.cache.answers import Question, TeacherAnswers, teacher_answers
from ukd_core.run.culprit import plugins_named
from ukd_core.run.device import pick_device
from ukd_core.run.export.model_card import student_card
from ukd_core.run.files import files_bytes, remove, whole_folder, write_text, writing
from ukd_core.run.fingerprint import data_facts
from ukd_core.run.forward import classify
from ukd_core.run.kept import CHECKPOINTS
from ukd_core.run.live import LiveTeacher, runs_live, same_rows
from ukd_core.run.measuring import measured, stored_bytes
from ukd_core.run.mixture import mixed_answers
from ukd_core.run.outcome import run_metrics, seconds_before
from ukd_core.run.output import claim_output, finished_metrics, open_output, same_inputs, written_alone
from ukd_core.run.phases import Training, needs_states, rehearse, train_phases
from ukd_core.run.plan import Plan, answer_settings, make_plan, make_student, method_of
from ukd_core.run.preflight.begin import Begun, begin
from ukd_core.run.preflight.report import examine
from ukd_core.run.processes import Processes
from ukd_core.run.progress import Reporter
from ukd_core.run.recipe import Recipe
from ukd_core.run.rows import tokenize_data
from ukd_core.run.teacher import ready_teacher


def distill(recipe: Recipe, *, overwrite: bool = False, resume: bool = False, keep_states: bool = False,
            check: bool = True, reporter: Reporter | None = None, speed: bool = True, baseline: bool = False
            ) -> dict[str, Any]:
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
        check: Try a few rows on the CPU first, so that what does not fit is found before the teacher learns or
            answers; a comparison leaves it out of all runs but the first.
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
        remove(Path(recipe.output) / CHECKPOINTS)  # killed before it could drop them
    else:
        plan = replace(make_plan(recipe), keep_states=keep_states)
        if baseline:
            check_labels(plan.data)
        with plugins_named(plan.registry):
            metrics = _distilled(plan, processes, reporter, overwrite=overwrite, check=check, speed=speed)
    if baseline:
        reporter.say("baseline: the same student, trained on labels alone")
        completed(other, reporter, check=False)
    return metrics


def _distilled(plan: Plan, processes: Processes, reporter: Reporter, *, overwrite: bool, check: bool, speed: bool
               ) -> dict[str, Any]:
    """A run whose input is read: from a few rows tried to what ``metrics.json`` holds."""
    recipe = plan.recipe
    begun = checked(plan, reporter) if check else None
    check_tokens(plan, begun)
    chain, answers = ask_teachers(plan, processes, reporter, begun)
    student = begun.student if begun is not None and begun.lasts else _made_student(plan, chain[0].source)
    rows = tokenize_data(student, plan.data, recipe.max_length, plan.cache)
    training = Training(student, plan.data, rows, answers, recipe, plan.registry, Path(recipe.output), processes,
                        reporter, live_teacher(plan, chain[-1].source, student))
    rehearse(training, plan.phases)
    with _opened(training, answers, overwrite=overwrite):
        start = time.perf_counter()
        endings = train_phases(training, plan.phases)
        trained = time.perf_counter()
        logits = score_student(training)
        seconds = {**seconds_before(chain), "train": trained - start, "eval": time.perf_counter() - trained}
        metrics = run_metrics(plan, chain, training, endings, logits, seconds)
        if processes.is_main:
            _finish(training, chain[0], logits, metrics, speed=speed)
        processes.wait()
    return metrics


def completed(recipe: Recipe, reporter: Reporter, *, keep_states: bool = False, check: bool = True) -> dict[str, Any]:
    """The metrics of a run: read where it is complete, resumed where it was begun, replaced where it was another.

    One of several runs: its models' speed is not measured.
    """
    folder = Path(recipe.output)
    begun = (folder / "recipe.yaml").is_file()
    same = begun and Recipe.read(folder / "recipe.yaml").written() == recipe.written()
    if same and (metrics := finished_metrics(folder)):
        reporter.say(f"{folder}: reused, it was complete")
        return metrics
    return distill(recipe, overwrite=begun and not same, resume=same, keep_states=keep_states, check=check,
                   reporter=reporter, speed=False)


def checked(plan: Plan, reporter: Reporter) -> Begun | None:
    """The preflight in short: a few rows through both models and every phase, and the plan in a few lines.

    Returns:
        The models that were read for it, as they begin.

    Raises:
        UKDError: the first of all that does not fit; its `others` are the rest.
    """
    found = examine(plan)
    found.tell()
    reporter.say(found.short())
    return found.begun


@contextmanager
def _opened(training: Training, answers: TeacherAnswers, *, overwrite: bool) -> Iterator[None]:
    """Make the run folder, which nobody else writes within the block; from here on there is something to resume."""
    with ExitStack() as held:
        if training.processes.is_main:
            open_output(training.folder, training.recipe, overwrite=overwrite)
            held.enter_context(written_alone(training.folder))
            same_inputs(training.folder, {"data": data_facts(training.data), "scores": answers.entry.checksum})
        training.processes.wait()
        yield


def ask_teachers(plan: Plan, processes: Processes, reporter: Reporter, begun: Begun | None = None
                 ) -> tuple[tuple[Link, ...], TeacherAnswers]:
    """The teacher made ready, then its assistants, all on the CPU; and the answers that the student learns from.

    Args:
        plan: The run.
        processes: Who takes part.
        reporter: Where progress goes.
        begun: The models as they begin, where they were read before.
    """
    recipe = plan.recipe

    def ask(source: LayerSource, name: str, teaches: bool, probe: bool = False, keep: bool = False) -> TeacherAnswers:
        source.requires_grad_(False).to(pick_device(recipe.device))
        states = keep or (teaches and needs_states(plan.phases, plan.registry))
        question = Question(source, plan.data, answer_settings(plan, probe, states), _make_head(plan), plan.cache,
                            {"teacher": name, "data": recipe.data}, recipe.rebuild_damaged)
        answers = teacher_answers(question, processes, reporter)
        source.cpu()
        return answers

    teacher = ready_teacher(plan.teacher, plan.data, recipe, plan.registry, plan.cache, processes, reporter,
                            None if begun is None or (runs_live(plan.phases, plan.registry) and not begun.lasts)
                            else (begun.teacher, begun.finished))
    alone = not plan.assistants and not plan.default_assistants
    answers = ask(teacher.source, recipe.teacher, alone, teacher.probe, plan.keep_states)
    first = Link(recipe.teacher, teacher.source, answers, teacher.seconds)
    chain = taught_chain(plan, first, ask, processes, reporter)
    together = recipe.assistant_use == "ensemble"
    return chain, mixed_answers(plan, chain[1:], processes, reporter) if together else chain[-1].answers


def check_tokens(plan: Plan, begun: Begun | None = None) -> None:
    """Where the teacher will run beside the student, see that both read the same tokens before anybody learns.

    Args:
        plan: The run.
        begun: Its models, where they were read before.

    Raises:
        InputError: they do not.
    """
    if runs_live(plan.phases, plan.registry):
        begun = begun or begin(plan)
        live_teacher(plan, begun.beside, begun.student)


def _made_student(plan: Plan, teacher: LayerSource) -> LayerSource:
    set_seed(plan.recipe.seed)
    return make_student(plan, teacher)


def live_teacher(plan: Plan, teacher: LayerSource, student: LayerSource) -> LiveTeacher | None:
    """The teacher as it runs in training; None where no phase needs it there."""
    if not runs_live(plan.phases, plan.registry):
        return None
    rows = same_rows(method_of(plan.recipe), teacher, student, plan.data, plan.recipe.max_length, plan.cache)
    return LiveTeacher(teacher, rows)


def score_student(training: Training) -> dict[str, Tensor]:
    """The trained student's scores of every split but the training rows, (rows, C) each; leaves it on the CPU."""
    logits = {name: classify(training.source, rows)
              for name, rows in training.rows.items() if name != "train"}
    training.source.cpu()
    return logits


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
    remove(folder / "student")
    with whole_folder(folder / "student") as scratch:
        training.source.save(scratch)
        write_text(scratch / "README.md", student_card(training.source, metrics, training.recipe))
    kept: dict[str, Tensor] = {}
    for split, scores in logits.items():
        given = teacher.answers.scores(split).whole()[:, -1].contiguous()
        kept |= {f"{split}.student": scores, f"{split}.teacher": given, f"{split}.labels": training.data.labels(split)}
    with writing(folder / "answers.safetensors"):
        save_file(kept, folder / "answers.safetensors")
    metrics["teacher"]["bytes"] = stored_bytes(teacher.source)
    metrics["student"]["bytes"] = files_bytes(folder / "student")
    write_text(folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    remove(folder / CHECKPOINTS)
