"""Reading a saved classifier: folder or hub name to weights and tokenizer, quietly, with one-line errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from ukd_core import quiet
from ukd_core.errors import InputError, UKDError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from ukd_core import OutputSpace

HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")
WEIGHT_FILES = ("*.safetensors", "pytorch_model*.bin")
MOST_A_BYTE, HARMLESS = 4, 2**26
"""Weights that a byte can hold, generously (the tightest packing in use has two); so many are taken at any rate."""
WIDTHS = ("hidden_size", "embedding_width")
SIZES = ("vocab_size", "num_hidden_layers", "intermediate_size", "max_position_embeddings")
"""What memory grows with: keys of config.json that hold whole numbers, where a model has them."""
PROBE = "any text \u2603"
"""Has words, and a character that no vocabulary has."""
ALIGNMENT = 64
"""Bytes; a multiple of it is where torch begins a tensor on a CPU."""
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A classifier as it was saved, or with a new final layer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    label_names: tuple[str, ...] | None
    """What the classifier was trained to answer; None where it is new, cut from a deeper model, or never was one."""


@contextmanager
def reading(where: str, what: str, remedy: str) -> Iterator[None]:
    """Turn whatever the libraries raise while they read `what` into an `InputError` of one line."""
    try:
        with quiet():
            yield
    except UKDError:
        raise
    except Exception as error:  # the hub, JSON, safetensors, pickle and the tokenizers each raise their own kinds
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[0].rstrip(".")[:200] if lines else type(error).__name__
        raise InputError(where, f"{what} could not be read: {reason}", remedy) from error


def load_checkpoint(location: str | Path, model_types: tuple[str, ...], space: OutputSpace | None,
                    layers: int | None, changes: dict[str, Any]) -> Checkpoint:
    """Read model and tokenizer. Called by the `load` of every adapter.

    Args:
        location: Folder or hub name ``org/name``.
        model_types: The `model_type` values that the adapter reads.
        space: None to take the classifier as it is; else a new, random one for this space replaces it (drawn from
            torch's global generator).
        layers: Keep only this many lower layers; None for all.
        changes: Further keys of the configuration to set before the weights are read.

    Raises:
        InputError: no such folder, files are missing or damaged, another architecture, or too few layers.
    """
    where = f"model '{location}'"
    check_location(where, str(location))
    config = _read_config(where, location, model_types)
    names = trained_labels(config)
    depth = config.num_hidden_layers
    _keep_layers(where, config, layers)
    for key, value in changes.items():
        setattr(config, key, value)
    if space is not None:
        set_space(config, space)
    model, head_is_new = _read_weights(where, location, config, renew=space is not None)
    if space is not None or head_is_new or config.num_hidden_layers < depth:
        names = None
    return Checkpoint(model, _read_tokenizer(where, location, model), names)


def check_location(where: str, location: str) -> None:
    """Refuse what cannot be a saved model before any library looks at it."""
    folder = Path(location)
    if not folder.is_dir():
        if folder.exists() or not HUB_NAME.fullmatch(location):
            found = "a file" if folder.exists() else "no such folder"
            raise InputError(where, f"expected a model folder or a hub name org/name, got {found}", "Check the path.")
        return
    others = [path for path in folder.iterdir() if path.exists() and not path.is_dir()]
    for patterns, what in (((("config.json"),), "config.json"), (WEIGHT_FILES, "weights (model.safetensors)"),
                           (TOKENIZER_FILES, "a tokenizer (tokenizer.json)")):
        found_files = [path for pattern in patterns for path in folder.glob(pattern)]
        odd = [path.name for path in (*found_files, *others) if not path.is_file()]
        if odd:  # to read a device or a pipe might never end
            raise InputError(where, f"expected files, got {odd[0]!r}, which is none or leads to none",
                             "Save model and tokenizer into it with save_pretrained.")
        if not found_files:
            raise InputError(where, f"expected a folder with {what}, got one without",
                             "Save model and tokenizer into it with save_pretrained.")


def set_space(config: PreTrainedConfig, space: OutputSpace) -> None:
    """Write the labels and the kind of a task into a configuration."""
    config.id2label = dict(enumerate(space.labels))
    config.label2id = {label: index for index, label in enumerate(space.labels)}
    config.problem_type = space.problem_type


def trained_labels(config: PreTrainedConfig) -> tuple[str, ...] | None:
    """The label names in the order of the logits; None where the configuration is not that of a classifier."""
    if not any(str(name).endswith("ForSequenceClassification") for name in config.architectures or ()):
        return None
    return tuple(str(config.id2label[index]) for index in sorted(config.id2label))


def _read_config(where: str, location: str | Path, model_types: tuple[str, ...]) -> PreTrainedConfig:
    with reading(where, "config.json", "Check the name and the network, or give a folder."):
        config = AutoConfig.from_pretrained(location, trust_remote_code=False)
    if config.model_type not in model_types:
        raise InputError(where, f"expected a model of type {' or '.join(model_types)}, got '{config.model_type}'",
                         "Use the adapter for that type.")
    if "/" in str(config._attn_implementation):
        raise InputError(where, f"expected attention of transformers, got '{config._attn_implementation}', code of a "
                                "hub repository", "Remove attn_implementation from config.json.")
    if hasattr(config, "auto_map"):  # code of the model's author; it must not reach what is saved from here
        del config.auto_map
    _check_sizes(where, Path(location), config)
    return config


def _check_sizes(where: str, folder: Path, config: PreTrainedConfig) -> None:
    """Refuse sizes for which the folder's weights are far too small, before memory is taken for them."""
    with reading(where, "config.json", "Save the model again with save_pretrained."):
        sizes = {name: index(getattr(config, name)) for name in (*WIDTHS, *SIZES) if hasattr(config, name)}
    width = min(sizes[name] for name in WIDTHS if name in sizes)
    stored = sum(path.stat().st_size for pattern in WEIGHT_FILES for path in folder.glob(pattern))
    for name in SIZES:
        if folder.is_dir() and sizes.get(name, 1) * width > max(HARMLESS, MOST_A_BYTE * stored):
            raise InputError(where, f"expected sizes of config.json that fit {stored:,} bytes of weights, got {name} "
                                    f"{sizes[name]:,}", "Save the model again with save_pretrained.")


def _keep_layers(where: str, config: PreTrainedConfig, layers: int | None) -> None:
    if layers is None:
        return
    if layers > config.num_hidden_layers:
        raise InputError(where, f"expected layers ≤ {config.num_hidden_layers}, got {layers}",
                         "Only lower layers of an existing model can be kept.")
    config.num_hidden_layers = layers


def _read_weights(where: str, location: str | Path, config: PreTrainedConfig, *,
                  renew: bool) -> tuple[PreTrainedModel, bool]:
    """The model in float32, and whether its classifier is (partly) random."""
    with reading(where, "the weights", "Save the model again with save_pretrained."):
        model, report = AutoModelForSequenceClassification.from_pretrained(
            location, config=config, dtype=torch.float32, trust_remote_code=False, ignore_mismatched_sizes=True,
            output_loading_info=True)
    prefix = model.base_model_prefix + "."
    wrong = {"do not fit config.json": [entry[0] for entry in report["mismatched_keys"]],
             "are incomplete": [key for key in report["missing_keys"] if ".pooler." not in key]}
    for problem, keys in wrong.items():
        body = sorted(key for key in keys if key.startswith(prefix))
        if body:
            raise InputError(where, f"the weights {problem}: {body[0]}" +
                             (f" and {len(body) - 1} more" if len(body) > 1 else ""),
                             "Save the model again with save_pretrained.")
    if renew:
        renew_head(model)
    _lay_out(model)
    return model, any(not key.startswith(prefix) for keys in wrong.values() for key in keys)


def renew_head(model: PreTrainedModel) -> None:
    """Draw all linear maps outside of the encoder anew: weights N(0, initializer_range²), biases 0."""
    for name, child in model.named_children():
        if name == model.base_model_prefix:
            continue
        for module in child.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=model.config.initializer_range)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


def _lay_out(model: PreTrainedModel) -> None:
    """Move weights to where torch begins tensors of its own.

    What is mapped from a file begins anywhere, and a product of matrices may round otherwise there: the same weights
    would give other scores than in the process that trained them.
    """
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.data_ptr() % ALIGNMENT:
            tensor.data = tensor.data.clone()


def _read_tokenizer(where: str, location: str | Path, model: PreTrainedModel) -> PreTrainedTokenizerBase:
    with reading(where, "the tokenizer", "Save the tokenizer again with save_pretrained."):
        tokenizer = AutoTokenizer.from_pretrained(location, trust_remote_code=False)
        tokenizer.init_kwargs.pop("auto_map", None)
        tokenizer(PROBE)  # some damage shows in use alone
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise InputError(where, f"expected a tokenizer of at most {rows} tokens (the embedding table), "
                                f"got {len(tokenizer)}", "Save the tokenizer that belongs to the model.")
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise InputError(where, "expected a tokenizer with a vocabulary, got only special tokens",
                         "Save the tokenizer that belongs to the model.")
    return tokenizer
