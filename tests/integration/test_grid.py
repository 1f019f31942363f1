"""Every architecture teaches every other, from text, with no dimension given anywhere."""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import mean

import pytest

from ukd_core import Recipe, distill
from ukd_core.run.progress import Reporter

KINDS = ("bert", "roberta", "cnn", "bilstm")


@pytest.mark.parametrize("student", KINDS)
@pytest.mark.parametrize("teacher", KINDS)
def test_universal_kd_trains(teacher: str, student: str, news: Path, cache: Path, tmp_path: Path):
    recipe = Recipe(teacher=teacher, student=student, data=str(news), method="universal-kd",
                    output=str(tmp_path / "run"), cache=str(cache), max_length=24, epochs=4, teacher_epochs=3,
                    batch_size=16, device="cpu")
    metrics = distill(recipe, reporter=Reporter(quiet=True))
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    for term in ("loss", "loss/logit-kd", "loss/layer-kd"):
        values = [entry[term] for entry in log if entry["phase"] == "distil" and term in entry]
        assert len(values) >= 9
        assert all(map(math.isfinite, values))
        third = len(values) // 3
        assert mean(values[-third:]) < mean(values[:third]), f"{term} did not fall: {values}"
    assert metrics["teacher"]["layers"] == len(metrics["layer_accuracy"])
    assert metrics["teacher_rows_forwarded"] in (0, 220)
    assert 0.0 <= metrics["student"]["metrics"]["accuracy"] <= 1.0
