"""Weights of a phase that is done, which the next phase begins with and a resumed run reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open
from safetensors.torch import load_model, save_model

from ukd_core.run.files import writing

if TYPE_CHECKING:
    from ukd_core.layer_source import LayerSource
    from ukd_core.method import Phase
    from ukd_core.run.phases import Training

REACHED = "reached"
"""In the header of the file: the metric that the weights have on validation rows."""
INSTEAD_OF = "instead_of"
"""In the header where the weights are those of before the phase: the lower metric that its own had."""


@dataclass(frozen=True)
class Ending:
    """What a phase came to."""

    phase: str
    reached: float | None
    """The metric of its own weights on validation rows; None where nothing was compared."""
    kept: bool
    """False where the weights before the phase were better, and are what it ends with."""


def read_finished(source: LayerSource, finished: Path) -> None:
    """Give the source the weights that a phase ended with."""
    load_model(source.model, str(finished))


def finish_phase(training: Training, phase: Phase, finished: Path, reached: float | None, before: Path | None) -> None:
    """Keep the weights of a phase, or those before it where they were better.

    Args:
        training: Its source has the weights, and ends with those that are kept.
        phase: The phase that ends.
        finished: Where they are kept.
        reached: Their metric on validation rows; None where nothing was compared.
        before: Where the weights before the phase are kept; None at the first.
    """
    notes = {} if reached is None else {REACHED: repr(reached)}
    earlier = None if before is None else _noted(before, REACHED)
    if before is not None and earlier is not None and reached is not None and reached < earlier:
        training.reporter.say(f"phase '{phase.name}' reached {training.data.space.metric} {reached:.4f}, less than the "
                              f"{earlier:.4f} before it: the weights before it are kept")
        read_finished(training.source, before)
        notes = {REACHED: repr(earlier), INSTEAD_OF: repr(reached)}
    if training.processes.is_main:
        scratch = finished.with_name("finished.partial")
        with writing(finished):
            save_model(training.source.model, str(scratch), notes or None)
        scratch.replace(finished)
    training.processes.wait()


def ending_of(phase: Phase, finished: Path) -> Ending:
    """What was noted of a phase when it ended."""
    lower = _noted(finished, INSTEAD_OF)
    return Ending(phase.name, _noted(finished, REACHED) if lower is None else lower, kept=lower is None)


def _noted(finished: Path, key: str) -> float | None:
    """A metric in the header of the file; None where it is not there."""
    with safe_open(str(finished), "pt") as file:
        noted = (file.metadata() or {}).get(key)
    return None if noted is None else float(noted)
