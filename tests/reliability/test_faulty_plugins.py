"""Plug-ins that fail in the middle of a training: named, with their step; what was kept before stays good."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., tuple[int, str, str]]
PLUGIN = '''
import dataclasses
import os

import torch

from ukd_adapters.cnn import CNNLayerSource
from ukd_core import hookimpl
from ukd_plugins.projectors.attention import AttentionProjector
from ukd_plugins.terms.logit_kd import LogitKDTerm

STEP = [0]


def due(fault):
    return os.environ["FAULT"] == fault and STEP[0] >= 5


class FaultyTerm(LogitKDTerm):
    name = "faulty-term"

    def __init__(self, options, setup):
        super().__init__(options, setup)
        STEP[0] = 0

    def on_progress(self, fraction):
        STEP[0] = round(fraction * 9) + 1

    def forward(self, batch):
        loss = super().forward(batch)
        if due("term raises"):
            raise ValueError("boom")
        if due("term gives rows"):
            return loss.expand(3)
        if due("term gives a number"):
            return 1.0
        if due("term gives nan"):
            return loss * float("nan")
        if due("term has no gradient"):
            return loss + (loss * 0).sqrt()
        if due("term wants memory"):
            torch.empty(1 << 60, dtype=torch.int8)
        return loss


class FaultyProjector(AttentionProjector):
    name = "faulty-projector"

    def weights(self, student, teacher):
        weights = super().weights(student, teacher)
        if due("projector raises"):
            raise ValueError("boom")
        if due("projector gives a layer less"):
            return weights[:, 1:]
        return weights * float("nan") if due("projector gives nan") else weights


class FaultySource(CNNLayerSource):
    name = "faulty-cnn"
    model_types = ()

    def forward(self, batch, needs=frozenset()):
        states = super().forward(batch, needs)
        if not self.training:
            return states
        if due("adapter raises"):
            raise ValueError("boom")
        if due("adapter gives a layer less"):
            return dataclasses.replace(states, pooled=states.pooled[1:])
        if due("adapter gives a row less"):
            return dataclasses.replace(states, logits=states.logits[1:])
        return dataclasses.replace(states, logits=states.logits * float("nan")) if due("adapter gives nan") else states


@hookimpl
def ukd_register_terms():
    return [FaultyTerm]


@hookimpl
def ukd_register_projectors():
    return [FaultyProjector]


@hookimpl
def ukd_register_layer_sources():
    return [FaultySource]
'''
RECIPE = """
phases:
- name: only
  terms: [{term: faulty-term}, {term: layer-kd}]
projector: faulty-projector
"""
PLACE = "step 5 of phase 1-only"
TERM, PROJECTOR, ADAPTER = "term 'faulty-term'", "projector 'faulty-projector'", "adapter 'faulty-cnn'"
NAN = f"expected a finite loss, got nan in {PLACE}"
AGAIN = ("Start anew with --overwrite and a lower --learning-rate. The checkpoint of step 3 is kept: --resume goes on "
         "there, and comes here again unless the machine was at fault.")


def blamed(part: str, said: str) -> str:
    return f"plug-in 'mine': {part} in {PLACE}: {said}. Try its laws: ukd plugins check {part.split(chr(39))[1]}"


SAID = {
    "term raises": blamed(TERM, "raised ValueError: boom (mine.py, line 32)"),
    "term gives rows": blamed(TERM, "loss expected shape (), got (3,)"),
    "term gives a number": blamed(TERM, "loss expected shape (), got float"),
    "term gives nan": f"{TERM} of plug-in 'mine': {NAN}, first from {TERM} of plug-in 'mine'. {AGAIN}",
    "term has no gradient": "weight 'source.model.encoder.embeddings.words.weight': expected finite numbers, got "
                            f"others after {PLACE}. {AGAIN}",
    "term wants memory": "memory: expected room for what is computed, got none. Lower --batch-size or --max-length and "
                         "start anew, or free memory and go on with --resume.",
    "projector raises": blamed(PROJECTOR, "raised ValueError: boom (mine.py, line 52)"),
    "projector gives a layer less": blamed(PROJECTOR, "weights expected (S, T, units) = (1, 1, 32), got (1, 0, 32)"),
    "projector gives nan": f"term 'layer-kd' of plug-in 'ukd-plugins' (ukd 0.1.0): {NAN}, first from {PROJECTOR} of "
                           f"plug-in 'mine'. {AGAIN}",
    "adapter raises": blamed(ADAPTER, "raised ValueError: boom (mine.py, line 67)"),
    "adapter gives a layer less": blamed(ADAPTER, "pooled states expected (units, width) = [(32, 8)], got []"),
    "adapter gives a row less": blamed(ADAPTER, "logits expected (units = 32, C), got (31, 2)"),
    "adapter gives nan": f"{TERM} of plug-in 'mine': {NAN}, first from {ADAPTER} of plug-in 'mine'. {AGAIN}",
}


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory, few: Path, small: tuple[str, ...]) -> list[str]:
    """A run of 9 steps with the plug-in in all its parts, without its output."""
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "mine.py").write_text(PLUGIN)
    (folder / "recipe.yaml").write_text(RECIPE)
    options = [*small, "--recipe", str(folder / "recipe.yaml"), "--plugin", str(folder / "mine.py"), "--cache",
               str(folder / "cache"), "--no-check"]
    options[options.index("--student") + 1] = "faulty-cnn:hidden=8,layers=1"
    options[options.index("--epochs") + 1] = "3"
    return options


@pytest.mark.parametrize("fault", SAID)
def test_the_plugin_is_named_with_its_step(ukd: Command, command: list[str], tmp_path: Path,
                                           monkeypatch: pytest.MonkeyPatch, fault: str):
    monkeypatch.setenv("FAULT", fault)
    status, _, errors = ukd(*command, "--output", tmp_path / "run")
    assert (status, errors.splitlines()[-1]) == (2, f"ukd: {SAID[fault]}")
    assert "Traceback" not in errors
    run = tmp_path / "run"
    assert [path.name for path in run.rglob("checkpoint-*")] == ["checkpoint-3"]
    assert not (run / "student").exists() and not (run / "metrics.json").exists()


def test_a_run_goes_on_when_the_fault_has_gone(ukd: Command, command: list[str], tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch):
    """The checkpoint that was kept is good: the bytes are those of a run without a fault."""
    for fault, run, how in (("none", "whole", []), ("term gives nan", "run", []), ("none", "run", ["--resume"])):
        monkeypatch.setenv("FAULT", fault)
        assert ukd(*command, "--output", tmp_path / run, *how)[0] == (2 if "nan" in fault else 0)
    whole, resumed = ((tmp_path / run / "student" / "model.safetensors").read_bytes() for run in ("whole", "run"))
    assert whole == resumed
