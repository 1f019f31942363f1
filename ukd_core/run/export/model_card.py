"""README.md of a model folder: what it is, for people and, as metadata, for a model hub."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ukd_core.terminal import visible

if TYPE_CHECKING:
    from ukd_core.layer_source import LayerSource
    from ukd_core.run.recipe import Recipe

MOST_LABELS = 20
"""Labels that are written out."""
TRANSFORMERS_USE = """\
```python
{imports}from transformers import pipeline

classify = pipeline("text-classification", model="PATH OF THIS FOLDER")
classify("a text")
```

Or, with UKD: `echo "a text" | ukd predict PATH`."""
SPEED_NAMES = {"p50_ms": "one text, median, ms", "p95_ms": "one text, 95th percentile, ms",
               "per_second": "texts/s in batches of 32"}


def model_card(title: str, labels: tuple[str, ...], metrics: Mapping[str, Any] | None, recipe: Recipe | None,
               use: str, export: str = "") -> str:
    """The card of a model folder. Languages and a licence are not in it: nobody here knows them.

    Args:
        title: Name of the model.
        labels: What it answers.
        metrics: What ``metrics.json`` of its run holds; None for a model that no run made.
        recipe: Of that run.
        use: How to run it: a paragraph of Markdown.
        export: What an export changed: a paragraph of Markdown.
    """
    head: dict[str, Any] = {"pipeline_tag": "text-classification", "tags": ["ukd", "text-classification"]}
    if metrics is not None and recipe is not None:
        head["tags"] += ["knowledge-distillation", metrics["method"]]
        if results := _results(metrics, recipe):
            head["model-index"] = [{"name": title, "results": results}]
    shown = [code(label) for label in labels[:MOST_LABELS]]
    more = f" and {len(labels) - MOST_LABELS} more" if len(labels) > MOST_LABELS else ""
    parts = [f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---", f"# {plain(title)}",
             f"A text classifier. It answers {', '.join(shown)}{more}."]
    if metrics is not None and recipe is not None:
        parts += [_training(metrics, recipe), _scores(metrics), _speed(metrics)]
    parts += [export, f"## Use\n\n{use}", _limits(metrics)]
    return "\n\n".join(part for part in parts if part) + "\n"


def student_card(source: LayerSource, metrics: Mapping[str, Any], recipe: Recipe) -> str:
    """README.md of a run's student folder; called when the run is finished."""
    return model_card(short_name(recipe.output), tuple(metrics["labels"]), metrics, recipe, transformers_use(source))


def transformers_use(source: LayerSource) -> str:
    """How to run a folder that transformers reads, with what has to be imported before."""
    module = type(source.model).__module__.split(".")[0]
    return TRANSFORMERS_USE.format(imports="" if module == "transformers" else f"import {module}\n")


def _results(metrics: Mapping[str, Any], recipe: Recipe) -> list[dict[str, Any]]:
    """The model-index entries: https://github.com/huggingface/hub-docs, modelcard.md."""
    data = short_name(recipe.data)
    return [{"task": {"type": "text-classification"}, "dataset": {"name": data, "type": data, "split": split},
             "metrics": [{"type": name, "value": round(float(value), 4)} for name, value in scores.items()]}
            for split, scores in metrics["student"]["by_split"].items() if scores]


def _training(metrics: Mapping[str, Any], recipe: Recipe) -> str:
    teacher, student = metrics["teacher"], metrics["student"]
    rows = ", ".join(f"{count:,} {name}" for name, count in metrics["rows"].items())
    lines = [f"- teacher: {code(short_name(recipe.teacher))}, {teacher['layers']} layers, "
             f"{teacher['parameters']:,} parameters",
             f"- student: {code(short_name(recipe.student))}, {student['layers']} layers, "
             f"{student['parameters']:,} parameters",
             f"- method: {code(metrics['method'])}, seed {metrics['seed']}, {recipe.epochs:g} passes",
             f"- data: {code(short_name(recipe.data))}, rows: {rows}; texts are cut to {recipe.max_length} tokens"]
    lines += [f"- labels: at most {recipe.max_labels:,} of the training rows"] if recipe.max_labels else []
    lines += [f"- assistant: {code(short_name(part['name']))}" for part in metrics.get("assistants", ())]
    return "## Training\n\nTaught by UKD (knowledge distillation):\n\n" + "\n".join(lines)


def _scores(metrics: Mapping[str, Any]) -> str:
    tables = []
    for split, scores in metrics["student"]["by_split"].items():
        if scores:
            teacher = metrics["teacher"]["by_split"].get(split, {})
            rows = [f"| {name} | {value:.4f} | {_number(teacher.get(name))} |" for name, value in scores.items()]
            tables.append("\n".join([f"| {split}, {metrics['rows'][split]:,} rows | this model | teacher |",
                                     "|---|---|---|", *rows]))
    same = [f"{share:.2%} of the {split} rows" for split, share in metrics["agreement"].items() if share is not None]
    agreement = [f"It answers as its teacher on {', '.join(same)}."] if same else []
    picked = ("The validation rows also picked the checkpoint; their scores flatter it a little."
              if metrics["student"]["by_split"].get("validation") else "")
    told = [*tables, *agreement, picked] if tables else ["Nothing was scored: no validation or test row has a label.",
                                                          *agreement]
    return "## Scores\n\n" + "\n\n".join(part for part in told if part)


def _speed(metrics: Mapping[str, Any]) -> str:
    speed = metrics.get("speed")
    if not speed or not isinstance(speed.get("student"), Mapping):
        return ""
    rows = [f"| {text} | {_number(speed['student'].get(key), 2)} | {_number(speed.get('teacher', {}).get(key), 2)} |"
            for key, text in SPEED_NAMES.items() if key in speed["student"]]
    head = ["## Speed\n", "| on the machine that trained it | this model | teacher |", "|---|---|---|"]
    return "\n".join([*head, *rows])


def _limits(metrics: Mapping[str, Any] | None) -> str:
    lines = ["- It knows the kind of text that it was trained on; on other texts its scores mean little."]
    if metrics is not None:
        lines += ["- It repeats its teacher's mistakes and biases, and those of the labels.",
                  "- The figures are those of one run with one seed."]
    return "## Limits\n\n" + "\n".join(lines)


def plain(text: str) -> str:
    """A text from elsewhere as one line of Markdown that is nothing but text."""
    return re.sub(r"([\\`*\[\]|])", r"\\\1", visible(" ".join(text.split()))).replace("<", "&lt;")


def code(text: str) -> str:
    """A text from elsewhere as code in Markdown, whatever is in it."""
    line = visible(" ".join(text.split()))
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if "`" in line or not line else f"`{line}`"


def short_name(text: str) -> str:
    """A model or a data set as it may be shown to others: of a local path only the last part."""
    return Path(text).name or text if Path(text).is_absolute() or Path(text).exists() else text


def _number(value: Any, digits: int = 4) -> str:
    return f"{value:.{digits}f}" if isinstance(value, int | float) else "-"
