"""A stored student (or any stored classifier) at work: its answers to new texts, and its quality on data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ukd_core.errors import InputError
from ukd_core.run.data import encode_data, read_data
from ukd_core.run.files import files_bytes
from ukd_core.run.forward import classify
from ukd_core.run.output import usable_cache
from ukd_core.run.recipe import Recipe
from ukd_core.run.rows import TokenizedRows
from ukd_core.run.sources import plan_source
from ukd_core.run.trainer import evaluate_scores

if TYPE_CHECKING:
    from ukd_core.layer_source import LayerSource
    from ukd_core.output_space import OutputSpace
    from ukd_core.plugins import Registry
    from ukd_core.run.data import TaskData

DEFAULT_MAX_LENGTH = 128


class StoredModel(ABC):
    """A classifier that is stored somewhere and answers texts, whatever runs it.

    Args:
        name: As the user named it.
        space: Meaning of its scores.
        size: Bytes that it takes on disk.
        parameters: Weights, each counted once.
    """

    def __init__(self, name: str, space: OutputSpace, size: int, parameters: int) -> None:
        self.name = name
        self.space = space
        self.bytes = size
        self.parameters = parameters

    @abstractmethod
    def answer(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Tensor:
        """Score texts, tokenizing included.

        Args:
            texts: Any number of texts.
            pairs: The second text of each, for tasks on pairs.

        Returns:
            Scores in order, shape (texts, C), float32, on the CPU.
        """


class TorchModel(StoredModel):
    """A run folder, a model folder or a hub model, run by torch.

    Args:
        name: As the user named it.
        source: The classifier.
        space: Meaning of its scores.
        size: Bytes that it takes on disk.
    """

    def __init__(self, name: str, source: LayerSource, space: OutputSpace, size: int) -> None:
        super().__init__(name, space, size, source.num_parameters)
        self.source = source

    def answer(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Tensor:
        """Score texts, see `StoredModel.answer`."""
        if not texts:
            return torch.empty(0, self.space.size)
        return classify(self.source, TokenizedRows.of(self.source, texts, pairs, stored_length(self.source)))


def load_model(text: str, registry: Registry, cache: Path, *, threads: int = 0) -> StoredModel:
    """Read a run folder, an exported folder, a student folder or a hub classifier.

    Args:
        text: As the user named it.
        registry: Adapters and output spaces.
        cache: Folder for downloads.
        threads: Of an exported folder; 0 for all cores. torch has its own setting.

    Raises:
        InputError: it is not a classifier, or has a kind of output that nobody registers.
    """
    from ukd_core.run.export.runtime import is_exported, load_exported
    if is_exported(Path(text)):
        return load_exported(Path(text), registry, threads)
    source, space = load_classifier(text, registry, cache)
    location = Path(plan_source(text, registry, cache, "model").location or "")
    size = files_bytes(location) if location.is_dir() else sum(
        weight.numel() * weight.element_size() for weight in source.model.parameters())
    return TorchModel(text, source, space, size)


def load_classifier(text: str, registry: Registry, cache: Path) -> tuple[LayerSource, OutputSpace]:
    """Read a run folder, a student folder or a hub classifier, with the meaning of its scores.

    Raises:
        InputError: it is not a classifier, or has a kind of output that nobody registers.
    """
    source = plan_source(text, registry, cache, "model").load()
    where = f"model '{text}'"
    if source.label_names is None:
        raise InputError(where, "expected a trained classifier, got an encoder without one",
                         "Use ukd distill to make it a teacher.")
    problem = source.model.config.problem_type or "single_label_classification"
    for space_type in registry.output_spaces.values():
        if space_type.problem_type == problem:
            return source.eval(), space_type(source.label_names)
    raise InputError(where, f"no output space for problem_type {problem!r}")


def evaluate(text: str, data: str, registry: Registry, cache: Path, *, split: str | None = None,
             **reading: Any) -> dict[str, Any]:
    """Metrics of a stored classifier on a split of some data.

    Args:
        text: Run folder, exported folder, model folder or hub name.
        data: As for a recipe.
        registry: Adapters and output spaces.
        cache: Folder for downloads.
        split: "train", "validation" or "test"; by default the validation split, else test, else train.
        **reading: Further arguments of `read_data`.
    """
    cache = usable_cache(cache)
    model = load_model(text, registry, cache)
    task = read_task(data, model.space, cache, **{**columns_of_run(text), **reading})
    name, texts, pairs = texts_of(task, data, split)
    metrics = evaluate_scores(model.answer(texts, pairs), task.labels(name), model.space)
    if not metrics:
        raise InputError(f"data '{data}'", f"no row of split '{name}' has a label", "Name the label column.")
    return {"model": text, "split": name, "rows": len(texts), **metrics}


def read_task(data: str, space: OutputSpace, cache: Path, **reading: Any) -> TaskData:
    """Data as a stored classifier is asked about it: all rows, labels by the names that it knows.

    Args:
        data: As for a recipe.
        space: Of the classifier.
        cache: Folder for downloads.
        **reading: Further arguments of `read_data`.
    """
    raw = read_data(data, cache=cache, **{"validation_fraction": 0.0, **reading})
    return encode_data(raw, type(space), teacher_labels=space.labels)


def texts_of(task: TaskData, data: str, split: str | None) -> tuple[str, list[str], list[str] | None]:
    """A split's name, its texts and, for pairs, its second texts; without a name validation, else test, else train.

    Raises:
        InputError: the data have no such split.
    """
    name = split or next(name for name in ("validation", "test", "train") if name in task.splits)
    if name not in task.splits:
        raise InputError(f"data '{data}'", f"expected a split {name!r}, got {', '.join(task.splits)}")
    part = task.splits[name]
    return name, part["text"][:], part["pair"][:] if task.pairs else None


def columns_of_run(text: str) -> dict[str, Any]:
    """The columns that a run was told to read, which its evaluation reads too."""
    recipe = Path(text) / "recipe.yaml"
    if not recipe.is_file():
        return {}
    made = Recipe.read(recipe)
    return {"text_columns": made.text_columns, "label_column": made.label_column}


def predict(model: StoredModel, rows: Sequence[tuple[str, str | None]]) -> Iterator[dict[str, Any]]:
    """Answers to texts and pairs, in order, ready for JSON.

    Args:
        model: Who answers.
        rows: A text, and the second text of a pair or None.
    """
    found: dict[int, dict[str, Any]] = {}
    for paired in (False, True):
        chosen = [index for index, (_, pair) in enumerate(rows) if (pair is not None) == paired]
        if chosen:
            pairs = [pair or "" for _, pair in (rows[index] for index in chosen)] if paired else None
            scores = model.answer([rows[index][0] for index in chosen], pairs)
            found |= dict(zip(chosen, model.space.describe(scores), strict=True))
    for index, (text, _) in enumerate(rows):
        yield {"text": text, **found[index]}


def stored_length(source: LayerSource) -> int:
    """Longest input in tokens that a stored classifier is given."""
    stored = int(source.tokenizer.model_max_length)
    return stored if stored <= 100_000 else DEFAULT_MAX_LENGTH  # transformers keeps 1e30 where nobody set one
