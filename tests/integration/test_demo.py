"""The demo on a small cut of its data: the whole table, then everything reused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ukd_core.run import demo as demo_module
from ukd_core.run.embedded import cache_folder


def test_demo_table_and_reuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(demo_module, "SETTINGS", {**demo_module.SETTINGS, "max_train_rows": 240, "max_eval_rows": 80,
                                                  "max_labels": 60})
    monkeypatch.setattr(demo_module, "SPEED_TEXTS", 20)
    monkeypatch.setattr(demo_module, "SPEED_SECONDS", 0.0)
    table = demo_module.demo(tmp_path / "runs", cache_folder())
    capsys.readouterr()
    lines = [line for line in table.splitlines() if re.search(r" 0\.\d{4} ", line)]
    assert [line.split()[0] for line in lines] == ["teacher:", "TF-IDF"] + [
        student for student in ("bilstm", "cnn", "bert", "bag") for _ in range(3)]
    assert [line.split()[1] for line in lines[2:]] == 4 * ["none", "logit-kd", "universal-kd"]
    verdicts = [line for line in table.splitlines() if "over labels alone" in line]
    assert len(verdicts) == 8
    assert all(re.search(r": (helped|did not help( beyond noise)?) \([+-]0\.\d{4} over", line) for line in verdicts)
    again = demo_module.demo(tmp_path / "runs", cache_folder())
    assert capsys.readouterr().err.count("reused, it was complete") == 12
    assert [line.split()[:-1] for line in again.splitlines() if re.search(r" 0\.\d{4} ", line)] == [
        line.split()[:-1] for line in lines]
