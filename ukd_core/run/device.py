"""Where the models run, and in which precision."""

from __future__ import annotations

import torch

from ukd_core.errors import InputError


def pick_device(name: str) -> torch.device:
    """The device asked for; "auto" takes CUDA, then MPS, then the CPU.

    Raises:
        InputError: a device that this machine does not have.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, there in available.items() if there))
    if not available[name]:
        there = ", ".join(device for device, there in available.items() if there)
        raise InputError(f"device '{name}'", f"expected one that this machine has ({there})", "Use --device auto.")
    return torch.device(name)


def use_bf16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16: where asked for, and by itself on GPUs that have it in hardware."""
    if precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise InputError("precision 'bf16'", "this GPU has no bfloat16", "Use --precision fp32.")
    return precision == "bf16"
