"""Where half precision ends: scores are compared in float32 at least."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Widen bfloat16 and float16 to float32; float32 and float64 stay as they are.

    Args:
        values: Any shape, floating.

    Returns:
        The same shape.
    """
    return values.to(torch.promote_types(values.dtype, torch.float32))


def full_precision(values: Tensor) -> torch.autocast:
    """A context in which autocast does not narrow products, for the device of `values`.

    The trainer computes losses inside its autocast context; there a dot product of scores would be rounded to three
    digits before the softmax over layers.

    Args:
        values: Any shape; only its device counts.
    """
    return torch.autocast(values.device.type, enabled=False)
