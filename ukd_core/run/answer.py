"""A stored student (or any stored classifier) at work: its quality on data, its answers to new texts, its speed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ukd_core.errors import InputError
from ukd_core.run.data import encode_data, read_data
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

DEFAULT_MAX_LENGTH = 128


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
        text: Run folder, model folder or hub name.
        data: As for a recipe.
        registry: Adapters and output spaces.
        cache: Folder for downloads.
        split: "train", "validation" or "test"; by default the validation split, else test, else train.
        **reading: Further arguments of `read_data`.
    """
    cache = usable_cache(cache)
    source, space = load_classifier(text, registry, cache)
    raw = read_data(data, cache=cache, validation_fraction=0.0, **{**_columns_of_run(text), **reading})
    task = encode_data(raw, type(space), teacher_labels=space.labels)
    name = split or next(name for name in ("validation", "test", "train") if name in task.splits)
    if name not in task.splits:
        raise InputError(f"data '{data}'", f"expected a split {name!r}, got {', '.join(task.splits)}")
    part = task.splits[name]
    rows = _tokenize(source, part["text"][:], part["pair"][:] if task.pairs else None)
    metrics = evaluate_scores(classify(source, rows), task.labels(name), space)
    if not metrics:
        raise InputError(f"data '{data}'", f"no row of split '{name}' has a label", "Name the label column.")
    return {"model": text, "split": name, "rows": len(part), **metrics}


def _columns_of_run(text: str) -> dict[str, Any]:
    """The columns that a run was told to read, which its evaluation reads too."""
    recipe = Path(text) / "recipe.yaml"
    if not recipe.is_file():
        return {}
    made = Recipe.read(recipe)
    return {"text_columns": made.text_columns, "label_column": made.label_column}


def predict(source: LayerSource, space: OutputSpace, texts: Sequence[str],
            pairs: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Answers to texts, in order, ready for JSON."""
    if texts:
        rows = _tokenize(source, texts, pairs)
        for text, answer in zip(texts, space.describe(classify(source, rows)), strict=True):
            yield {"text": text, **answer}


def texts_per_second(source: LayerSource, texts: Sequence[str], repeats: int = 3) -> float:
    """Throughput from text to scores on the model's device, tokenizing included: the best of `repeats` passes."""
    best = 0.0
    for _ in range(repeats):
        start = time.perf_counter()
        classify(source, _tokenize(source, texts, None))
        best = max(best, len(texts) / (time.perf_counter() - start))
    return best


def _tokenize(source: LayerSource, texts: Sequence[str], pairs: Sequence[str] | None) -> TokenizedRows:
    stored = source.tokenizer.model_max_length
    limit = stored if stored <= 100_000 else DEFAULT_MAX_LENGTH  # transformers keeps 1e30 where nobody set one
    return TokenizedRows.of(source, texts, pairs, limit)
