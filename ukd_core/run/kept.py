"""What is left of a run that was stopped, and where it will go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CHECKPOINTS = "checkpoints"
FINISHED = "finished.safetensors"
"""Weights of a phase that is done."""


def whole_checkpoints(folder: Path) -> list[Path]:
    """Checkpoints of a phase, the newest first; what a kill left half-written is not among them."""
    return [path for path in all_checkpoints(folder) if state_of(path) is not None]


def all_checkpoints(folder: Path) -> list[Path]:
    """Checkpoints of a phase by their step, which no clock changes; the newest first."""
    return sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)


def state_of(checkpoint: Path) -> dict[str, Any] | None:
    """The engine's notes, which it writes last; None where the checkpoint is not whole."""
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return state if isinstance(state, dict) else None


def kept_of(folder: Path) -> str:
    """Half a sentence on a run folder: what a resumed run will not do again."""
    if (folder / "metrics.json").is_file():
        return "the run itself is complete"
    phases = sorted((folder / CHECKPOINTS).glob("*-*"), key=lambda path: int(path.name.partition("-")[0]))
    done = [path for path in phases if (path / FINISHED).is_file()]
    parts = [f"phase {path.name} is complete" for path in done]
    for phase in (path for path in phases if path not in done):
        for newest in whole_checkpoints(phase)[:1]:
            state = state_of(newest) or {}
            parts.append(f"phase {phase.name} is kept up to step {state.get('global_step')} of "
                         f"{state.get('max_steps')}")
    return ", ".join(parts) or "no training step is kept yet, the teacher's answers are"
