"""The device and precision that are asked for are there, or refused."""

from __future__ import annotations

import pytest
import torch

from ukd_core.errors import InputError
from ukd_core.run.device import pick_device, use_bf16


def machine(patch: pytest.MonkeyPatch, cuda: bool = False, mps: bool = False, bf16: bool = False) -> None:
    """What torch says of a machine with this hardware."""
    patch.setattr(torch.cuda, "is_available", lambda: cuda)
    patch.setattr(torch.backends.mps, "is_available", lambda: mps)
    patch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16 or including_emulation)


@pytest.mark.parametrize(("hardware", "device"), [
    ({}, "cpu"), ({"mps": True}, "mps"), ({"cuda": True}, "cuda"), ({"cuda": True, "mps": True}, "cuda")])
def test_auto_takes_the_fastest(monkeypatch: pytest.MonkeyPatch, hardware: dict[str, bool], device: str):
    machine(monkeypatch, **hardware)
    assert pick_device("auto") == torch.device(device) == pick_device(device)
    assert pick_device("cpu") == torch.device("cpu")


def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch):
    machine(monkeypatch, mps=True)
    with pytest.raises(InputError) as caught:
        pick_device("cuda")
    assert str(caught.value) == "device 'cuda': expected one that this machine has (mps, cpu). Use --device auto."


@pytest.mark.parametrize(("precision", "device", "bf16", "used"), [
    ("auto", "cpu", True, False), ("auto", "cuda", True, True), ("auto", "cuda", False, False),
    ("fp32", "cuda", True, False), ("bf16", "cuda", True, True), ("bf16", "cpu", False, True)])
def test_precision(monkeypatch: pytest.MonkeyPatch, precision: str, device: str, bf16: bool, used: bool):
    machine(monkeypatch, cuda=True, bf16=bf16)
    assert use_bf16(precision, torch.device(device)) is used


def test_bf16_on_a_gpu_without_it(monkeypatch: pytest.MonkeyPatch):
    machine(monkeypatch, cuda=True)
    with pytest.raises(InputError) as caught:
        use_bf16("bf16", torch.device("cuda"))
    assert str(caught.value) == "precision 'bf16': this GPU has no bfloat16. Use --precision fp32."
