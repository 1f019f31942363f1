"""From token states to one state a unit, and where a checkpoint says how."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor
from transformers.utils import cached_file

from ukd_core import masked_mean, quiet

SENTENCE_TRANSFORMERS_FILE = "1_Pooling/config.json"


def pool(kind: str, states: Tensor, mask: Tensor) -> Tensor:
    """Reduce the token axis; masked tokens have no influence, a unit without any token gives zeros.

    Args:
        kind: "cls" (the first token), "mean" or "max".
        states: Shape (units, length, width), floating.
        mask: True where a token counts, shape (units, length), bool.

    Returns:
        Shape (units, width), dtype of `states`.
    """
    if kind == "mean":
        return masked_mean(states, mask)
    keep = mask.unsqueeze(-1)
    if kind == "max":
        highest = states.masked_fill(~keep, torch.finfo(states.dtype).min).amax(dim=1)
        return torch.where(keep.any(dim=1), highest, torch.zeros_like(highest))
    return states[:, 0]


def stored_pooling(location: str | Path) -> str | None:
    """What a sentence-transformers checkpoint says: "mean" or "cls"; None where it says nothing or something else.

    Args:
        location: Folder or hub name.
    """
    try:
        if Path(location).is_dir():
            file = Path(location) / SENTENCE_TRANSFORMERS_FILE
            text = file.read_text(encoding="utf-8") if file.is_file() else "{}"  # a pipe would be waited for
        else:
            with quiet():
                text = Path(cached_file(str(location), SENTENCE_TRANSFORMERS_FILE)).read_text(encoding="utf-8")
        stored = dict(json.loads(text))
    except (OSError, ValueError, TypeError, RecursionError):  # absent: the model is no sentence-transformers checkpoint
        return None
    if stored.get("pooling_mode_mean_tokens") or stored.get("pooling_mode") == "mean":
        return "mean"
    if stored.get("pooling_mode_cls_token") or stored.get("pooling_mode") == "cls":
        return "cls"
    return None
