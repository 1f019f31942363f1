"""One hash for everything that a kept result depends on; another hash, another result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ukd_core.formats import MODEL

if TYPE_CHECKING:
    from ukd_core.layer_source import LayerSource
    from ukd_core.run.data import TaskData

NOT_STATES = frozenset({"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", MODEL.key})
"""Keys of a configuration that say where a model comes from, not what it computes; dtypes count with the weights."""


def fingerprint(facts: dict[str, Any]) -> str:
    """Hash of a JSON-able description, 32 hexadecimal digits."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def source_facts(source: LayerSource) -> dict[str, Any]:
    """What decides a model's states: adapter, configuration, every weight, and the tokenizer."""
    return {"adapter": source.name, "config": fingerprint(config_facts(source)),
            "weights": hash_weights(source.model.state_dict()), "tokenizer": tokenizer_facts(source)}


def config_facts(source: LayerSource) -> dict[str, Any]:
    """What a model computes besides its weights."""
    return {key: value for key, value in source.model.config.to_dict().items() if key not in NOT_STATES}


def tokenizer_facts(source: LayerSource) -> str:
    """Hash of the tokenizer without its truncation and padding, which are those of its last call."""
    facts = json.loads(source.tokenizer.backend_tokenizer.to_str())
    kept = {key: value for key, value in facts.items() if key not in ("truncation", "padding")}
    return fingerprint({**kept, "inputs": list(source.tokenizer.model_input_names)})


def data_facts(data: TaskData) -> dict[str, Any]:
    """Texts and labels of all splits, in order, and the space."""
    return {"space": [data.space.name, *data.space.labels], "texts": data.hashes, "labels": data.label_hashes}


def hash_weights(weights: dict[str, Tensor]) -> str:
    """SHA-256 over names, shapes, types and bytes of tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def hash_texts(texts: Iterable[str]) -> str:
    """SHA-256 over texts; a text moved, split or joined changes it."""
    digest = hashlib.sha256()
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()
