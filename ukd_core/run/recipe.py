"""A run written as data: every option of ``ukd distill``, checked, with its default and its meaning."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, field_validator

from ukd_core.errors import InputError
from ukd_core.method import Phase
from ukd_core.run.files import write_text
from ukd_core.spec import Options, read_options, split_specs
from ukd_core.yaml_text import read_yaml

MOST_EPOCHS = 1e6
"""More would not end, and the number of steps is kept in 64 bits."""
MOST_RATE = 1e30
"""Optimizers multiply in float32, which ends at 3e38."""
PATH_KEYS = ("teacher", "student", "data", "output", "cache", "plugin_folder")


class Recipe(Options):
    """The keys of a recipe; ``ukd distill`` takes each as an option (``--max-length`` for ``max_length``)."""

    teacher: str = Field(min_length=1, description="Adapter with options (bert:layers=4), folder, hub name, or "
                                                   "embedded:minilm")
    student: str = Field(min_length=1, description="Adapter with options (bilstm:layers=2), folder, or hub name")
    data: str = Field(min_length=1, description="Folder with train/validation/test files, one file, hub "
                                                "name[:config], or embedded:reuters-r8")
    output: str = Field(min_length=1, description="Run folder to write")
    method: str = Field("universal-kd", description="Preset of phases; see: ukd methods")

    output_space: str = Field("classes", description="What a score means: classes, multilabel, regression, or a "
                                                    "plug-in's")
    metric: str | None = Field(None, description="Picks the best checkpoint (f1, matthews_correlation, ...); default: "
                                                 "the output space's")
    text_columns: tuple[str, ...] | None = Field(None, description="Column of the texts, or the two columns of a pair")
    label_column: str | None = Field(None, description="Column of the labels")
    label_names: tuple[str, ...] | None = Field(None, description="Names of the classes, in the order of their "
                                                                          "numbers")
    max_train_rows: int | None = Field(None, ge=1, description="Train on a random sample of this many rows")
    max_eval_rows: int | None = Field(None, ge=1, description="Evaluate on a random sample of this many rows")
    max_labels: int | None = Field(None, ge=1, description="Keep this many training labels; the other rows "
                                                               "count as unlabelled")
    validation_fraction: float = Field(0.1, ge=0.0, lt=1.0, description="Share of the labelled training rows split off "
                                                                       "where the data has no validation file")
    max_length: int = Field(128, ge=3, le=1_000_000, description="Longest input in tokens")

    teacher_tuning: Literal["auto", "finetune", "probe"] = Field(
        "auto", description="How a teacher becomes a classifier: train all of it, or fit a probe on the frozen "
                            "encoder; auto takes a classifier as it is and fine-tunes anything else")
    teacher_epochs: float = Field(3.0, gt=0.0, le=MOST_EPOCHS, description="Passes over the labelled rows when a "
                                                                              "teacher is fine-tuned")
    teacher_learning_rate: float | None = Field(None, gt=0.0, le=MOST_RATE,
                                                description="Default: what the adapter suggests")
    assistants: tuple[str, ...] = Field(
        (), description="Models between teacher and student, as for the student: the teacher teaches the first by "
                        "logit-kd, each the next, the last the student; default: the method's")
    assistant_use: Literal["chain", "ensemble"] = Field(
        "chain", description="chain: as said for assistants; ensemble: the teacher teaches each of them, and the "
                             "student learns from their mixture, weighted by labelled rows")
    pseudo_head: str = Field("linear", description="Kind of head on every layer")
    head_rows: int = Field(20_000, ge=1, description="Fit teacher heads on a random sample of at most this many rows")
    head_l2: float = Field(1.0, ge=0.0, description="L2 penalty of teacher heads on standardised states")

    epochs: float = Field(5.0, gt=0.0, le=MOST_EPOCHS, description="Training budget: passes over all training rows")
    batch_size: int = Field(32, ge=1, le=1_000_000, description="Rows a training step")
    learning_rate: float | None = Field(None, gt=0.0, le=MOST_RATE,
                                        description="Default: what the student's adapter suggests")
    head_learning_rate: float = Field(1e-3, gt=0.0, le=MOST_RATE,
                                      description="Learning rate of student heads and projectors")
    weight_decay: float = Field(0.01, ge=0.0, description="AdamW weight decay, not on biases and norms")
    warmup: float = Field(0.1, ge=0.0, lt=1.0, description="Share of each phase with a rising learning rate")
    group_by_length: bool = Field(True, description="Put rows of like length into one batch")
    trim_vocabulary: bool = Field(True, description="Train without the embedding rows that no text of the data reads; "
                                                    "they stay as they are, where weight decay would shrink them")
    compile: bool = Field(False, description="Compile the student with torch.compile: a minute before the first step, "
                                             "faster steps on most GPUs")
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced: in the loss against labels a row weighs rows / (classes x rows of its class), "
                            "for data with rare classes")
    unlabelled_weight: float = Field(1.0, ge=0.0, description="How often a training row without a label is drawn, "
                                                              "against one with a label; the steps stay the same")
    temperature: float | None = Field(None, ge=1e-6, le=1e6, description="Softens teacher and student scores; "
                                                                     "default: the method's")
    projector: str | None = Field(None, description="Replaces the method's projector (fixed:strategy=skip)")
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)] | None = Field(
        None, description="Phases written out, instead of the method's")

    seed: int = Field(0, ge=0, lt=2**32, description="Of the student's weights, dropout and the order of batches")
    data_seed: int = Field(0, ge=0, lt=2**32, description="Of the rows and labels that are sampled; "
                                                          "apart from seed, so that seeds share data and teacher")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where the models run")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="auto: bf16 where a GPU has it, else fp32")
    plugins: tuple[str, ...] = Field((), description="Plug-in modules to load besides installed ones")
    plugin_folder: str | None = Field(None, description="Folder of single-file plug-ins")
    cache_dtype: Literal["float32", "float16"] = Field("float32", description="Of teacher answers on disk")
    rebuild_damaged: bool = Field(False, description="Build damaged cache entries anew instead of stopping")
    cache: str | None = Field(None, description="Folder for downloads, tuned teachers and teacher answers")

    @field_validator("text_columns", "label_names", "plugins", mode="before")
    @classmethod
    def _split_at_commas(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("assistants", mode="before")
    @classmethod
    def _split_models(cls, value: Any) -> Any:
        return split_specs(value) if isinstance(value, str) else value

    @classmethod
    def read(cls, path: str | Path, **changes: Any) -> Self:
        """Read a YAML recipe; `changes` win over what it says.

        Raises:
            InputError: the file is missing, not YAML, or not a recipe.
        """
        return cls.make({**_read_yaml(Path(path)), **changes}, where=f"recipe '{path}'")

    @classmethod
    def make(cls, values: Mapping[str, Any], where: str = "recipe") -> Self:
        """Check keys and values; a wrong one is an `InputError` of one line."""
        return read_options(cls, values, where)

    def written(self) -> dict[str, Any]:
        """All keys with plain values, defaults included; paths that exist are absolute, so that any folder will do."""
        values = self.model_dump(mode="json")
        for key in PATH_KEYS:
            values[key] = _absolute(values[key])
        for key in ("plugins", "assistants"):
            values[key] = [_absolute(value) for value in values[key]]
        return values

    def code_options(self) -> list[str]:
        """The options that load the plug-ins that the recipe names, as the command line takes them."""
        named = [part for name in self.plugins for part in ("--plugin", name)]
        return named + ([] if self.plugin_folder is None else ["--plugin-folder", self.plugin_folder])

    def write(self, path: Path) -> None:
        """Write a file that runs again as it is."""
        write_text(path, yaml.safe_dump(self.written(), sort_keys=False, allow_unicode=True))


def _absolute(text: str | None) -> str | None:
    return str(Path(text).resolve()) if text is not None and Path(text).exists() else text


def _read_yaml(path: Path) -> dict[str, Any]:
    where = f"recipe '{path}'"
    try:
        if path.exists() and not path.is_file():  # to read a device or a pipe might never end
            raise ValueError("a folder, a device or a pipe")
        values = read_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(where, "no such file") from error
    except (OSError, ValueError) as error:
        raise InputError(where, f"expected a YAML file, got {error}") from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise InputError(where, f"expected keys and values, got {type(values).__name__}")
    return values
