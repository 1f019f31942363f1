"""Measured at the end of a run, while its models are at hand: how fast they answer and how large they are."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ukd_core.run.forward import classify
from ukd_core.run.rows import TokenizedRows
from ukd_core.run.speed import Answer, Speed, measure_speed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from ukd_core.layer_source import LayerSource
    from ukd_core.run.data import TaskData

SECONDS = 0.25
"""Spent on each of two measurements of a model."""
TEXTS = 512
"""Real texts that a measurement goes through at most."""


def answering(source: LayerSource, max_length: int) -> Answer:
    """A model as its user has it: from texts to scores, tokenizing included; waits for a GPU."""
    def answer(texts: Sequence[str], pairs: Sequence[str] | None) -> Tensor:
        return classify(source, TokenizedRows.of(source, texts, pairs, max_length))

    return answer


def real_texts(data: TaskData) -> tuple[list[str], list[str] | None]:
    """A random sample, always the same, of validation (else test, else training) texts, with their pairs."""
    split = next(data.splits[name] for name in ("validation", "test", "train") if name in data.splits)
    chosen = random.Random(0).sample(range(len(split)), min(TEXTS, len(split)))
    part = split.select(chosen)
    return part["text"][:], part["pair"][:] if data.pairs else None


def timed(answer: Answer, texts: Sequence[str], pairs: Sequence[str] | None, *, device: str = "cpu",
          at_once: int = 1) -> Speed:
    """`measure_speed` for as long as everything is measured here."""
    return measure_speed(answer, texts, pairs, seconds=SECONDS, device=device, at_once=at_once)


def measured(sources: Mapping[str, LayerSource], data: TaskData, max_length: int, device: str) -> dict[str, Any]:
    """Speeds for metrics.json: ``speed`` on the CPU and, of a run on a GPU, ``speed_cuda``, by the role of a model.

    Args:
        sources: Models by role; they are on the CPU before and after.
        data: Gives the texts.
        max_length: Longest input in tokens.
        device: Type of the run's device.
    """
    texts, pairs = real_texts(data)

    def on(place: str) -> dict[str, Any]:
        found = {}
        for role, source in sources.items():
            answer = answering(source.to(place), max_length)
            found[role] = dataclasses.asdict(timed(answer, texts, pairs, device=place))
            source.cpu()
        return found

    return {"speed": on("cpu"), **({"speed_cuda": on("cuda")} if device == "cuda" else {})}


def stored_bytes(source: LayerSource) -> int:
    """What a model takes once it is saved: its weights, each counted once, and its tokenizer."""
    weights = {each.data_ptr(): each.numel() * each.element_size() for each in source.model.state_dict().values()}
    tokenizer = source.tokenizer.backend_tokenizer.to_str() if source.tokenizer.is_fast else ""
    return int(sum(weights.values())) + len(tokenizer.encode())
