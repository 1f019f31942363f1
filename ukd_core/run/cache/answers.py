"""The teacher's answers: scores of every layer and of its classifier for every row, from one pass, kept on disk."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from ukd_core.errors import InputError
from ukd_core.formats import ANSWERS
from ukd_core.run.cache.arrays import DamagedEntryError, Entry, StoredArray, seal
from ukd_core.run.cache.building import Building
from ukd_core.run.files import whole_folder
from ukd_core.run.fingerprint import data_facts, fingerprint, source_facts
from ukd_core.run.garbage import only_new_garbage
from ukd_core.run.heads import FIT
from ukd_core.run.rows import tokenize_data

if TYPE_CHECKING:
    from ukd_core.layer_source import LayerSource
    from ukd_core.pseudo_head import PseudoHead
    from ukd_core.run.data import TaskData
    from ukd_core.run.processes import Processes
    from ukd_core.run.progress import Reporter


@dataclass(frozen=True)
class AnswerSettings:
    """What decides the answers besides teacher and data."""

    max_length: int
    head: str
    l2: float
    head_rows: int
    """Most rows that the heads are fitted on."""
    probe: bool
    """The last layer's head is the classifier, because the teacher has none of its own."""
    bf16: bool
    dtype: Literal["float32", "float16"]
    """Of the arrays on disk."""
    states: bool = False
    """Keep the pooled states of the training rows as well."""


@dataclass(frozen=True)
class TeacherAnswers:
    """All that distillation in output space needs of a teacher."""

    entry: Entry
    rows_forwarded: int
    """Rows that the teacher really ran to give them; 0 when they were read from disk."""
    seconds: Mapping[str, float]

    def scores(self, split: str) -> StoredArray:
        """Shape (rows, T + 1, C): the pseudo heads in order of depth, last the classifier."""
        return self.entry.arrays[split]

    @property
    def widths(self) -> tuple[int, ...]:
        """Width of each layer's pooled state; empty where states were not asked for."""
        return tuple(array.shape[1] for array in self.states("train"))

    def states(self, split: str) -> tuple[StoredArray, ...]:
        """Pooled states of each layer, (rows, width_l); empty where they were not asked for."""
        names = (f"{split}.layer{layer}" for layer in range(self.scores(split).shape[1] - 1))
        return tuple(self.entry.arrays[name] for name in names if name in self.entry.arrays)


@dataclass(frozen=True)
class Question:
    """What is asked of a teacher, and where the answers are kept."""

    source: LayerSource
    data: TaskData
    settings: AnswerSettings
    make_head: Callable[[int], PseudoHead]
    cache: Path
    about: Mapping[str, Any]
    """For people who list the cache: teacher and data as the user named them."""
    rebuild_damaged: bool = False


def teacher_answers(question: Question, processes: Processes, reporter: Reporter) -> TeacherAnswers:
    """Read the answers where teacher, data and settings are the same; else run the teacher once.

    Raises:
        DamagedEntryError: the entry was changed after it was written, and may not be rebuilt.
        InputError: the disk has no room for it.
    """
    facts = _facts(question)
    root = question.cache / "answers"
    with processes.lock(root / f"{fingerprint(facts)}.lock", reporter):
        found = _usable(question, facts, root, processes, reporter)
        if found is not None:
            return TeacherAnswers(found, 0, {"teacher_pass": 0.0, "heads": 0.0})
        with only_new_garbage():
            return _built(question, facts, root / fingerprint(facts), processes, reporter)


def _facts(question: Question) -> dict[str, Any]:
    return ANSWERS.mark({"head_fit": FIT, "teacher": source_facts(question.source),
                         "data": data_facts(question.data), "settings": asdict(question.settings),
                         "torch": torch.__version__})


def _usable(question: Question, facts: dict[str, Any], root: Path, processes: Processes, reporter: Reporter
            ) -> Entry | None:
    """The entry, or one that holds the states as well; every byte of it was compared with its checksum."""
    with_states = {**facts, "settings": asdict(replace(question.settings, states=True))}
    for folder in dict.fromkeys((root / fingerprint(facts), root / fingerprint(with_states))):
        if not folder.is_dir():
            continue
        try:
            entry = Entry.open(folder)
            entry.verify()
        except DamagedEntryError as error:
            if not question.rebuild_damaged:
                raise
            processes.wait()
            reporter.say(f"{error.where}: {error.problem}; it is built anew")
            if processes.is_main:
                shutil.rmtree(folder)
            processes.wait()
            continue
        if processes.is_main:  # of a process that was killed between the last two things that it had to do
            shutil.rmtree(_work(folder), ignore_errors=True)
        reporter.say(f"teacher answers: reused from {folder}")
        return entry
    return None


def _built(question: Question, facts: dict[str, Any], target: Path, processes: Processes, reporter: Reporter
           ) -> TeacherAnswers:
    work = _work(target)
    work.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    rows = tokenize_data(question.source, question.data, question.settings.max_length, question.cache)
    tokens = sum(int(part.lengths().sum()) for part in rows.values())
    _announce(question, tokens, work, reporter)
    building = Building(question.source, question.data, rows, question.settings, question.make_head, work, processes,
                        reporter)
    tokenized = time.perf_counter() - start
    forwarded, seconds = building.run()
    seconds["teacher_pass"] += tokenized
    if processes.is_main:
        with whole_folder(target) as folder:
            names = building.assemble(folder)
            about = {**question.about, "rows": sum(map(len, rows.values())), "tokens": tokens, "seconds": seconds,
                     "made": datetime.now(UTC).isoformat(timespec="seconds")}
            seal(folder, facts, about, names)
        shutil.rmtree(work)
    processes.wait()
    return TeacherAnswers(Entry.open(target), forwarded, seconds)


def _work(target: Path) -> Path:
    """Where an entry is built, shard by shard."""
    return target.with_name(target.name + ".work")


def entry_size(source: LayerSource, rows: Mapping[str, int], size: int, settings: AnswerSettings) -> tuple[int, int]:
    """Bytes of an entry on disk, and of the room that is needed while it is made.

    Args:
        source: Who answers.
        rows: Rows of each split.
        size: C, the number of scores.
        settings: What is kept, and as which type.
    """
    number = np.dtype(settings.dtype).itemsize
    kept = sum(rows.values()) * (source.num_layers + 1) * size * number
    kept += rows["train"] * sum(source.widths) * number * settings.states
    # Until it is assembled, shards hold the scores once more, and the states that heads are fitted on.
    held = rows["train"] if settings.states else min(rows["train"], settings.head_rows)
    return kept, 2 * kept + held * (sum(source.widths) + size) * 4


def _announce(question: Question, tokens: int, work: Path, reporter: Reporter) -> None:
    """Say how large the entry will be; refuse where the disk has no room for it."""
    rows = {name: len(split) for name, split in question.data.splits.items()}
    kept, needed = entry_size(question.source, rows, question.data.space.size, question.settings)
    free = shutil.disk_usage(work).free
    if needed > free:
        raise InputError(f"cache '{question.cache}'", f"expected {megabytes(needed)} of free space for the teacher's "
                         f"answers, got {megabytes(free)}", "Make room, or name another disk with --cache.")
    reporter.say(f"teacher answers: {sum(rows.values()):,} rows, {tokens:,} tokens to run once; "
                 f"{megabytes(kept)} on disk ({megabytes(needed)} while they are made)")


def megabytes(size: float) -> str:
    """Bytes in words."""
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB"
