"""``ukd export``: a folder that answers, with its tokenizer, its card and the proof that it answers as before."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ukd_core.errors import InputError
from ukd_core.formats import EXPORTED
from ukd_core.run.answer import TorchModel, load_classifier, read_task, stored_length, texts_of
from ukd_core.run.data import encode_data, read_data
from ukd_core.run.export.graph import quantize, require, write_graph
from ukd_core.run.export.model_card import model_card, short_name, transformers_use
from ukd_core.run.export.parity import Parity, Rows, compare_answers, refuse_unequal
from ukd_core.run.export.runtime import ABOUT, is_exported, load_exported
from ukd_core.run.export.tokenizer import standalone_tokenizer
from ukd_core.run.files import files_bytes, remove, whole_folder, write_text
from ukd_core.run.output import finished_metrics, usable_cache
from ukd_core.run.recipe import Recipe

if TYPE_CHECKING:
    from ukd_core.layer_source import LayerSource
    from ukd_core.output_space import OutputSpace
    from ukd_core.plugins import Registry
    from ukd_core.run.data import TaskData

FORMATS = ("hf", "onnx", "onnx-int8")
MOST_ROWS = 1000
"""Rows on which an export is compared with its original."""
ONNX_USE = """\
`pip install onnxruntime tokenizers numpy`, then `echo "a text" | python predict.py`, or `python predict.py FILE`: one
text a line, a TAB between the texts of a pair; it prints a JSON object a line. Neither torch nor transformers nor UKD
is needed. `ukd.json` has the labels, the names of the inputs and the longest input in tokens."""


@dataclass(frozen=True)
class Exported:
    """What an export came to."""

    folder: Path
    format: str
    bytes: int
    parity: Parity

    def __str__(self) -> str:
        return (f"exported as {self.format}: {self.folder}, {self.bytes / 1e6:,.1f} MB\n"
                f"compared with the original on {self.parity}")


def export(model: str, kind: str, registry: Registry, cache: Path, *, output: str | None = None,
           data: str | None = None, overwrite: bool = False, **reading: Any) -> Exported:
    """Write a stored classifier in another form, and compare its answers with those of the original.

    The rows are those of `data`, else the run's validation rows, else its training rows; at most `MOST_ROWS`.

    Args:
        model: Run folder, model folder or hub name.
        kind: One of `FORMATS`.
        registry: Adapters and output spaces.
        cache: Folder for downloads.
        output: Folder to write; a run has one by default, named by the format, in the run folder.
        data: Rows to compare on, as for a recipe.
        overwrite: Replace an export that the folder holds.
        **reading: Further arguments of `read_data`.

    Raises:
        InputError: the model, the folder or the data are not as described.
        ParityError: the exported model answers differently; nothing is left behind.
    """
    if kind not in FORMATS:
        raise InputError("option 'format'", f"expected {', '.join(FORMATS)}, got {kind!r}")
    if kind != "hf":
        require("onnx", "onnxscript", "onnxruntime")
    cache, run = usable_cache(cache), _run_of(model)
    target = _claimed(model, run, kind, output, overwrite)
    source, space = load_classifier(model, registry, cache)
    rows = _rows(model, run, data, space, cache, **reading)
    write = {"hf": _as_transformers, "onnx": _as_onnx, "onnx-int8": _as_int8}[kind]
    with whole_folder(target) as scratch:
        parity = write(Original(model, source, space, registry), rows, scratch)
        write_text(scratch / "README.md", _card(model, run, kind, source, space, parity))
        size = files_bytes(scratch)
        if overwrite:
            remove(target)
    return Exported(target, kind, size, parity)


def write_onnx(source: LayerSource, space: OutputSpace, folder: Path, *, max_length: int | None = None,
               int8: bool = False) -> None:
    """Write model.onnx, tokenizer.json, ukd.json and predict.py; nothing is compared.

    Args:
        source: The classifier, on the CPU.
        space: Meaning of its scores.
        folder: An existing folder.
        max_length: Longest input in tokens; by default what the tokenizer was stored with.
        int8: With 8-bit weights.
    """
    limit = max_length or stored_length(source)
    tokenizer = standalone_tokenizer(source, limit)
    cut, behind = tokenizer.truncation or {}, tokenizer.padding or {}
    inputs, opset = write_graph(source, folder / "model.onnx", limit)
    tokenizer.save(str(folder / "tokenizer.json"))
    about = EXPORTED.mark({"adapter": source.name, "precision": "float32", "labels": list(space.labels),
             "output_space": space.name, "problem_type": space.problem_type, "thresholds": _thresholds(space),
             "max_length": cut["max_length"], "inputs": list(inputs),
             "pad_id": behind["pad_id"], "opset": opset, "parameters": source.num_parameters})
    write_text(folder / ABOUT, json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    script = files("ukd_core.run.export") / "predict.py.in"
    write_text(folder / "predict.py", script.read_text(encoding="utf-8"))
    if int8:
        make_int8(folder)


def make_int8(folder: Path) -> None:
    """Give an exported folder 8-bit weights."""
    small = folder / "model.int8.onnx"
    quantize(folder / "model.onnx", small)
    for old in folder.glob("model.onnx*"):
        old.unlink()
    small.rename(folder / "model.onnx")
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    write_text(folder / ABOUT, json.dumps({**about, "precision": "int8"}, indent=2, ensure_ascii=False) + "\n")


@dataclass(frozen=True)
class Original:
    """What is exported."""

    name: str
    source: LayerSource
    space: OutputSpace
    registry: Registry


def _as_transformers(original: Original, rows: Rows, folder: Path) -> Parity:
    before = TorchModel(original.name, original.source, original.space, 0)
    original.source.save(folder)
    kind = type(original.source)
    after = TorchModel(str(folder), kind.load(folder, kind.Options()).eval(), original.space, 0)
    parity = compare_answers(before.answer(rows.texts, rows.pairs), after, rows)
    refuse_unequal(f"model '{original.name}'", parity)
    return parity


def _as_onnx(original: Original, rows: Rows, folder: Path) -> Parity:
    before = TorchModel(original.name, original.source, original.space, 0).answer(rows.texts, rows.pairs)
    write_onnx(original.source, original.space, folder)
    parity = compare_answers(before, load_exported(folder, original.registry), rows)
    refuse_unequal(f"model '{original.name}'", parity)
    return parity


def _as_int8(original: Original, rows: Rows, folder: Path) -> Parity:
    before = TorchModel(original.name, original.source, original.space, 0).answer(rows.texts, rows.pairs)
    write_onnx(original.source, original.space, folder)
    refuse_unequal(f"model '{original.name}'", compare_answers(before, load_exported(folder, original.registry), rows))
    make_int8(folder)
    return compare_answers(before, load_exported(folder, original.registry), rows)


def _thresholds(space: OutputSpace) -> list[float] | None:
    """Probability above which each label holds, where several may."""
    return [0.5] * space.size if space.problem_type == "multi_label_classification" else None


def _run_of(model: str) -> Path | None:
    """The run folder that a model is in; None for any other."""
    places = (Path(model), Path(model).parent)
    return next((place for place in places if (place / "recipe.yaml").is_file()), None)


def _claimed(model: str, run: Path | None, kind: str, output: str | None, overwrite: bool) -> Path:
    where = f"model '{model}'"
    if is_exported(Path(model)):
        raise InputError(where, "expected a run or a model folder, got an exported one", "Export the run itself.")
    if output is None and run is None:
        raise InputError(where, "expected a folder to write, got none: it is no run", "Name one with --output.")
    target = Path(output).resolve() if output is not None else Path(str(run)) / kind
    where = f"output '{target}'"
    if target.exists() and not target.is_dir():
        raise InputError(where, "expected a folder, got a file")
    if target.is_dir() and any(target.iterdir()):
        if not overwrite:
            raise InputError(where, "the folder is not empty", "Add --overwrite to replace an export, or name another.")
        if not (is_exported(target) or (target / "config.json").is_file()) or (target / "recipe.yaml").exists():
            raise InputError(where, "the folder holds files that are not an export", "Choose another folder.")
    return target


def _rows(model: str, run: Path | None, data: str | None, space: OutputSpace, cache: Path, **reading: Any) -> Rows:
    if data is not None:
        task = read_task(data, space, cache, **reading)
        return _some(task, *texts_of(task, data, None))
    if run is None:
        raise InputError(f"model '{model}'", "expected rows to compare the answers on, got none: it is no run",
                         "Name some with --data.")
    made = Recipe.read(run / "recipe.yaml")
    keys = ("text_columns", "label_column", "max_train_rows", "max_eval_rows", "max_labels", "validation_fraction")
    raw = read_data(made.data, cache=cache, seed=made.data_seed, **{key: getattr(made, key) for key in keys})
    task = encode_data(raw, type(space), teacher_labels=space.labels)
    name = "validation" if "validation" in task.splits else "train"
    return _some(task, *texts_of(task, made.data, name))


def _some(task: TaskData, name: str, texts: list[str], pairs: list[str] | None) -> Rows:
    return Rows(texts[:MOST_ROWS], None if pairs is None else pairs[:MOST_ROWS], task.labels(name)[:MOST_ROWS], name)


def _card(model: str, run: Path | None, kind: str, source: LayerSource, space: OutputSpace, parity: Parity) -> str:
    use = ONNX_USE if kind != "hf" else transformers_use(source)
    form = {"hf": "", "onnx": ": ONNX, float32 weights", "onnx-int8": ": ONNX, 8-bit weights"}[kind]
    told = f"## Export\n\nMade by `ukd export`{form}. Compared with the original on {parity}."
    return model_card(short_name(str(run or model)), space.labels, finished_metrics(run) if run else None,
                      Recipe.read(run / "recipe.yaml") if run else None, use, told)
