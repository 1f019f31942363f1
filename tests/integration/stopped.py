"""Runs that are stopped in the middle, as Ctrl-C stops them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ukd_core import Recipe, distill
from ukd_core.run import trainer as trainer_module
from ukd_core.run.progress import Reporter


def cut_at(step: int, recipe: Recipe, monkeypatch: pytest.MonkeyPatch, folder: str | None = None) -> None:
    """Start a run and stop it after a training step of the student, or of a model that is trained in another folder."""
    within = folder or recipe.output
    advance = trainer_module.ProgressBar.on_step_end

    def stop(self: object, args: object, state: object, control: object, **rest: object) -> None:
        advance(self, args, state, control, **rest)  # type: ignore[arg-type]
        if state.global_step == step and within in args.output_dir:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trainer_module.ProgressBar, "on_step_end", stop)
        distill(recipe, reporter=Reporter(quiet=True))
    assert not (Path(recipe.output) / "metrics.json").exists()
