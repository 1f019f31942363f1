"""The teacher's answers: scores of every layer and of its classifier for every row, from one pass, kept on disk."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ukd_core.errors import InputError
from ukd_core.run.files import whole_folder
from ukd_core.run.fingerprint import data_facts, fingerprint, source_facts
from ukd_core.run.forward import TokenizedRows, forward_rows, tokenize_split
from ukd_core.run.heads import fit_head

if TYPE_CHECKING:
    from ukd_core.layer_source import LayerSource
    from ukd_core.output_space import OutputSpace
    from ukd_core.pseudo_head import PseudoHead
    from ukd_core.run.data import TaskData
    from ukd_core.run.progress import Reporter

FORMAT = 1


@dataclass(frozen=True)
class AnswerSettings:
    """What decides the answers besides teacher and data."""

    max_length: int
    head: str
    l2: float
    probe: bool
    """The last layer's head is the classifier, because the teacher has none of its own."""
    bf16: bool


@dataclass(frozen=True)
class TeacherAnswers:
    """All that distillation in output space needs of a teacher."""

    scores: Mapping[str, Tensor]
    """By split: shape (rows, T + 1, C), float32; the pseudo heads in order of depth, last the classifier."""
    rows_forwarded: int = 0
    """Rows that the teacher really ran to give them; 0 when they were read from disk."""
    seconds: Mapping[str, float] = field(default_factory=lambda: {"teacher_pass": 0.0, "heads": 0.0})


def teacher_answers(source: LayerSource, data: TaskData, settings: AnswerSettings,
                    make_head: Callable[[int], PseudoHead], cache: Path, reporter: Reporter) -> TeacherAnswers:
    """Read the answers from `cache` where teacher, data and settings are the same; else run the teacher once."""
    facts = {"format": FORMAT, "teacher": source_facts(source), "data": data_facts(data),
             "settings": vars(settings), "torch": torch.__version__}
    entry = cache / "answers" / fingerprint(facts)
    if entry.is_dir():
        reporter.say(f"teacher answers: reused from {entry}")
        return TeacherAnswers(_read(entry))
    answers = _ask(source, data, settings, make_head, reporter)
    with whole_folder(entry) as folder:
        save_file(dict(answers.scores), folder / "scores.safetensors")
        (folder / "manifest.json").write_text(json.dumps(facts, indent=1, default=str), encoding="utf-8")
    return answers


def _read(entry: Path) -> dict[str, Tensor]:
    try:
        return load_file(entry / "scores.safetensors")
    except (OSError, SafetensorError) as error:
        raise InputError(f"cache entry '{entry}'", f"expected readable teacher scores, got {error}",
                         "Remove the folder; the next run builds it anew.") from error


def _ask(source: LayerSource, data: TaskData, settings: AnswerSettings, make_head: Callable[[int], PseudoHead],
         reporter: Reporter) -> TeacherAnswers:
    start = time.perf_counter()
    rows = {name: tokenize_split(source, split, settings.max_length) for name, split in data.splits.items()}
    total = sum(map(len, rows.values()))
    with reporter.track("teacher pass", total) as advance:
        seen = {name: _states(source, tokenized, data.space.size, settings.bf16, advance)
                for name, tokenized in rows.items()}
    passed = time.perf_counter()
    heads = _fit_heads(seen["train"], data, settings, make_head)
    scores = {name: _score(heads, pooled, logits, settings.probe) for name, (pooled, logits) in seen.items()}
    seconds = {"teacher_pass": passed - start, "heads": time.perf_counter() - passed}
    return TeacherAnswers(scores, total, seconds)


def _states(source: LayerSource, rows: TokenizedRows, size: int, bf16: bool,
            advance: Callable[[int], None]) -> tuple[list[Tensor], Tensor]:
    """Pooled states of every layer, (rows, width_l) each, and the logits, (rows, C), in the order of the rows."""
    pooled = [torch.zeros(len(rows), width) for width in source.widths]
    logits = torch.zeros(len(rows), size)
    for batch, states in forward_rows(source, rows, bf16=bf16, on_batch=advance):
        for kept, layer in zip(pooled, states.pooled, strict=True):
            kept[batch] = layer.float().cpu()
        logits[batch] = states.logits.float().cpu()
    return pooled, logits


def _fit_heads(seen: tuple[list[Tensor], Tensor], data: TaskData, settings: AnswerSettings,
               make_head: Callable[[int], PseudoHead]) -> list[PseudoHead]:
    """One head a layer, against the labels; where there are none, against the teacher's own answers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same start whatever ran before, so that a cold cache gives the same scores again
        heads = [make_head(layer.shape[1]) for layer in seen[0]]
    pooled, logits = seen
    space: OutputSpace = data.space
    labelled = data.labelled("train")
    if labelled.any():
        known = data.labels("train")[labelled]
        return [fit_head(head, layer[labelled], lambda scores: space.label_loss(scores, known), settings.l2)
                for head, layer in zip(heads, pooled, strict=True)]
    own = logits.double()
    return [fit_head(head, layer, lambda scores: space.divergence(own, scores), settings.l2)
            for head, layer in zip(heads, pooled, strict=True)]


def _score(heads: list[PseudoHead], pooled: list[Tensor], logits: Tensor, probe: bool) -> Tensor:
    with torch.inference_mode():
        scores = [head(layer) for head, layer in zip(heads, pooled, strict=True)]
    return torch.stack([*scores, scores[-1] if probe else logits], dim=1).clone()
