"""Where half precision ends: scores are compared in float32 at least."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Widen bfloat16 and float16 to float32; float32 and float64 stay as they are.

    Args:
        values: Any shape, floating.

    Returns:
        The same shape.
    """
    return values if values.dtype.itemsize >= torch.float32.itemsize else values.float()


def full_precision(values: Tensor) -> AbstractContextManager[Any]:
    """A context in which autocast does not narrow products, for the device of `values`.

    The trainer computes losses inside its autocast context; there a dot product of scores would be rounded to three
    digits before the softmax over layers.

    Args:
        values: Any shape; only its device counts.
    """
    device = values.device.type
    # Entering the context costs as much as a small product; most runs are not under autocast.
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()
