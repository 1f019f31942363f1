"""Early answers: which students are fast enough on this machine for the texts of a task, before any is trained."""

from __future__ import annotations

import random
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ukd_core.errors import InputError, UKDError
from ukd_core.layer_source import BuildContext
from ukd_core.run.data import RawData, TaskData, read_data
from ukd_core.run.measuring import answering, real_texts, stored_bytes, timed
from ukd_core.run.sources import plan_source
from ukd_core.run.speed import BATCH, Speed
from ukd_core.run.table import text_table

if TYPE_CHECKING:
    from ukd_core.layer_source import LayerSource
    from ukd_core.plugins import Registry
    from ukd_core.run.progress import Reporter

ENCODER = "bert"
"""The Transformer that stands for all of its kind where the teacher is none: their cost is the same."""
TRANSFORMERS = ((1, 128), (2, 128), (2, 256), (3, 256), (4, 256), (4, 384), (6, 384))
"""Layers and width of fresh Transformers."""
WORD_MODELS: tuple[Mapping[str, int], ...] = ({"layers": 1, "hidden": 64}, {}, {"layers": 3, "hidden": 256})
"""Options of adapters with layers and a width, but no heads: small, their default, large."""
TEXTS = 5000
"""Training texts at most that candidates get their vocabularies from."""


@dataclass(frozen=True)
class Candidate:
    """A student with random weights, as fast as it will be when it is trained."""

    spec: str
    """As it is given to ``--student``."""
    kind: str
    """Its adapter."""
    parameters: int
    bytes: int
    """Once it is saved."""
    speed: Speed
    fits: bool
    """Whether its p95 is within the budget."""


@dataclass(frozen=True)
class Suggestion:
    """What was measured; those that fit first, the largest of them first."""

    candidates: tuple[Candidate, ...]
    teacher: Candidate | None
    latency_ms: float
    batch: int
    max_length: int

    def text(self, data: str, teacher: str | None) -> str:
        """A table, and the command to run next.

        Args:
            data: As the user named it.
            teacher: Likewise; None where none was named.
        """
        shown = [*self.candidates, *((self.teacher,) if self.teacher else ())]
        speed = self.candidates[0].speed
        at_once = "one text alone" if self.batch == 1 else f"{self.batch} texts at once"
        threads = "1 thread" if speed.threads == 1 else f"{speed.threads} threads"
        title = (f"p50 and p95 of {at_once}, texts/s in batches of {BATCH}: CPU, {threads}, at most {self.max_length} "
                 "tokens, from text to answer")
        header = ["student", "parameters", "MB", "p50 ms", "p95 ms", "texts/s", f"p95 ≤ {self.latency_ms:g} ms"]
        table = text_table("", header, map(_cells, shown), range(1, 6))
        return "\n".join([title, table, *self._next(data, teacher)])

    def _next(self, data: str, teacher: str | None) -> Iterator[str]:
        fitting = [each for each in self.candidates if each.fits]
        if not fitting:
            fastest = min(self.candidates, key=lambda each: each.speed.p95_ms)
            yield (f"No candidate answers within {self.latency_ms:g} ms; the fastest, {fastest.spec}, takes "
                   f"{fastest.speed.p95_ms:.2f} ms. Allow more, shorten the texts (--max-length), or name "
                   "your own with --students.")
            return
        yield ("Weights are random: this says how fast a student is, not how good. The largest of each kind that fits, "
               "taught and compared:")
        largest = {each.kind: each.spec for each in reversed(fitting)}
        yield shlex.join(["ukd", "compare", "--teacher", teacher or "TEACHER", "--students",
                          ",".join(reversed(largest.values())), "--data", data, "--max-length", str(self.max_length),
                          "--seeds", "1", "--output", "runs/suggested"])


def suggest(data: str, latency_ms: float, registry: Registry, cache: Path, reporter: Reporter, *,
            teacher: str | None = None, students: Sequence[str] = (), batch: int = 1, max_length: int = 128,
            threads: int | None = None, options: Mapping[str, Any] | None = None) -> Suggestion:
    """Build students with random weights and measure how fast they answer the texts of a task on this CPU.

    Args:
        data: As a recipe names it; labels may be missing.
        latency_ms: The budget, which p95 is compared with.
        registry: Whose adapters are tried.
        cache: Folder for downloads.
        reporter: Where progress goes.
        teacher: Existing weights, for its tokenizer; measured as well.
        students: Specs to measure in place of the default ones.
        batch: Texts that are answered at once when latency is measured.
        max_length: Longest input in tokens.
        threads: Of the CPU; None leaves them as they are.
        options: Further arguments of `read_data`.

    Raises:
        InputError: the data, the teacher or a named student is not as expected, or no candidate can be built.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    task = _task(read_data(data, cache=cache, **(options or {})), registry)
    taught_by = None if teacher is None else plan_source(teacher, registry, cache, "teacher").load()
    context = BuildContext(task.space, _sample(task.texts()), taught_by, max_length, 0)
    measure = _Measure(real_texts(task), max_length, latency_ms, batch)
    found = []
    for spec in students or default_students(registry, taught_by):
        plan = plan_source(spec, registry, cache, "student")
        try:
            source = plan.start(context)
        except UKDError as error:
            if students:
                raise
            reporter.say(f"{spec}: left out, {error}")
            continue
        reporter.say(f"{spec}: measuring")
        found.append(measure(spec, source))
    if not found:
        raise InputError("ukd suggest", "expected an adapter that builds a new student, got none that could",
                         "Name students with --students.")
    found.sort(key=lambda each: (not each.fits, -each.speed.p95_ms if each.fits else each.speed.p95_ms))
    return Suggestion(tuple(found), None if taught_by is None or teacher is None else measure(teacher, taught_by),
                      latency_ms, batch, max_length)


def default_students(registry: Registry, teacher: LayerSource | None) -> list[str]:
    """Specs of reasonable sizes of every adapter; of Transformers, whose costs are alike, only one kind."""
    heads = [name for name, kind in registry.layer_sources.items() if "heads" in kind.Options.model_fields]
    encoder = teacher.name if teacher is not None and teacher.name in heads else ENCODER
    specs = []
    for name, kind in registry.layer_sources.items():
        known = kind.Options.model_fields
        if name in heads:
            sizes = [{"layers": layers, "hidden": width} for layers, width in TRANSFORMERS] if name == encoder else []
        else:
            sizes = [dict(size) for size in WORD_MODELS] if {"layers", "hidden"} <= set(known) else [{}]
        specs += [name + ("" if not size else ":" + ",".join(f"{key}={value}" for key, value in size.items()))
                  for size in sizes]
    return specs


@dataclass(frozen=True)
class _Measure:
    """Measures candidates on the same texts."""

    texts: tuple[list[str], list[str] | None]
    max_length: int
    latency_ms: float
    batch: int

    def __call__(self, spec: str, source: LayerSource) -> Candidate:
        answer = answering(source.cpu().eval(), self.max_length)
        speed = timed(answer, *self.texts, at_once=self.batch)
        return Candidate(spec, source.name, source.num_parameters, stored_bytes(source), speed,
                         speed.p95_ms <= self.latency_ms)


def _task(raw: RawData, registry: Registry) -> TaskData:
    """The texts, for two classes whatever the labels are: how many there are changes no time that counts."""
    space = registry.output_spaces.lookup("classes")(("0", "1"))
    return TaskData(raw.splits, space, raw.pairs)


def _sample(texts: Sequence[str]) -> list[str]:
    return list(texts) if len(texts) <= TEXTS else random.Random(0).sample(texts, TEXTS)


def _cells(each: Candidate) -> list[str]:
    speed = each.speed
    return [each.spec, f"{each.parameters:,}", f"{each.bytes / 1e6:,.1f}", f"{speed.p50_ms:.2f}", f"{speed.p95_ms:.2f}",
            f"{speed.per_second:,.0f}", "yes" if each.fits else "no"]

