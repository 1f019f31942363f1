"""Alternatives fitted to the labelled rows of a finished run, and judged on the rows that its student was judged on."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ukd_core import formats
from ukd_core.errors import InputError, UnknownNameError
from ukd_core.plugins import Registry
from ukd_core.run.alternatives.task import Alternative, Fitted, NotServed, Task
from ukd_core.run.files import write_text
from ukd_core.run.measuring import real_texts, timed
from ukd_core.run.output import cache_of_run
from ukd_core.run.plan import Plan, make_plan
from ukd_core.run.processes import Processes
from ukd_core.run.progress import Reporter
from ukd_core.run.teacher import Teacher, ready_teacher
from ukd_core.run.verdict.judged import Model
from ukd_core.run.verdict.judging import ALTERNATIVES as FILE
from ukd_core.run.verdict.judging import read_alternatives, scores_of
from ukd_core.run.verdict.stored import StoredRun
from ukd_core.spec import nearest


def _at(module: str) -> Any:
    """The `fit` of a module of this package, which is imported when it is called."""
    return lambda task: import_module(f"ukd_core.run.alternatives.{module}").fit(task)


ALTERNATIVES = {each.name: each for each in (
    Alternative("tfidf", "TF-IDF + logistic regression", _at("tfidf")),
    Alternative("fasttext", "fastText", _at("fasttext_supervised")),
    Alternative("model2vec", "model2vec + logistic regression", _at("static_table")),
    Alternative("teacher-int8", "teacher in int8 ONNX", _at("int8_teacher")),
)}
"""By the name on the command line."""


def chosen(text: str) -> tuple[str, ...]:
    """Names between commas, each once.

    Raises:
        UnknownNameError: there is no such alternative; the text lists those there are.
        InputError: no name at all.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise InputError("option 'alternatives'", "expected names, got none", nearest("", ALTERNATIVES))
    for name in names:
        if name not in ALTERNATIVES:
            raise UnknownNameError(f"alternative '{name}'", "no such alternative", nearest(name, ALTERNATIVES))
    return names


def try_alternatives(folder: str | Path, names: Sequence[str], reporter: Reporter | None = None,
                     registry: Registry | None = None) -> None:
    """Fit, score and time alternatives; ``alternatives.json`` of the run folder then has them, and the verdict too.

    The data are read again as the run read them. Those that were tried before stay, unless they are named again.

    Args:
        folder: Of a finished run.
        names: As `chosen` gives them.
        reporter: Where progress goes; standard error by default.
        registry: What plug-ins offer; None for those that are installed. What the recipe names is not loaded.

    Raises:
        InputError: the folder holds no finished run, or the data are no longer those of the run.
    """
    run, reporter = StoredRun.read(folder, registry), reporter or Reporter()
    plan = make_plan(run.recipe.model_copy(update={"cache": str(cache_of_run(run.recipe))}), run.registry)
    _check_same(run, plan)
    task = labelled_task(plan, reporter)
    kept = {}
    if (run.folder / FILE).is_file():
        kept = {model["name"]: model for model in read_alternatives(run.folder)}
    for name in names:
        reporter.say(f"alternative '{name}': fitting it to {len(task.texts):,} labelled rows")
        model = dataclasses.asdict(_tried(run, plan, task, ALTERNATIVES[name]))
        kept[model["name"]] = model
    found = formats.ALTERNATIVES.mark({"models": list(kept.values())})
    write_text(run.folder / FILE, json.dumps(found, indent=2) + "\n")


def _check_same(run: StoredRun, plan: Plan) -> None:
    for split in plan.data.splits:
        stored = run.answers.get(f"{split}.labels")
        if stored is not None and not torch.equal(stored.nan_to_num(), plan.data.labels(split).nan_to_num()):
            raise InputError(f"run '{run.folder}'", f"its data '{run.recipe.data}' have other {split} rows than when "
                             "it was made", "Run it again with --overwrite.")


def labelled_task(plan: Plan, reporter: Reporter) -> Task:
    """The labelled training rows of a run, as alternatives take them."""
    recipe, train = plan.recipe, plan.data.splits["train"]
    rows = plan.data.labelled("train").nonzero().flatten().tolist()
    part = train.select(rows)

    @cache
    def teacher() -> Teacher:
        alone = Processes(recipe.device, alone=True)
        found = ready_teacher(plan.teacher, plan.data, recipe, plan.registry, plan.cache, alone, reporter)
        found.source.cpu().eval()
        return found

    return Task(part["text"][:], part["pair"][:] if plan.data.pairs else None, plan.data.labels("train")[rows].numpy(),
                plan.data.space, recipe.data_seed, recipe.max_length, teacher)


def _tried(run: StoredRun, plan: Plan, task: Task, alternative: Alternative) -> Model:
    """One alternative as a row of the verdict; where it cannot serve, a row that says why."""
    model = Model("alternative", alternative.title)
    if not len(task.texts):
        return dataclasses.replace(model, note="no training row has a label")
    start = time.perf_counter()
    try:
        fitted = alternative.fit(task)
    except NotServed as reason:
        return dataclasses.replace(model, note=str(reason))
    model = dataclasses.replace(model, fit_seconds=time.perf_counter() - start, parameters=fitted.parameters,
                                bytes=fitted.bytes, speed=timed(fitted.answer, *real_texts(plan.data)))
    return model if run.split is None else dataclasses.replace(model, **_scores(run, plan, fitted, run.split))


def _scores(run: StoredRun, plan: Plan, fitted: Fitted, split: str) -> dict[str, Any]:
    rows = plan.data.splits[split]
    logits = fitted.answer(rows["text"][:], rows["pair"][:] if plan.data.pairs else None)
    return scores_of(run, split, torch.from_numpy(logits.astype(np.float32)))
