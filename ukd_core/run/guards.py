"""What watches over a training: nothing that is not finite is kept, and the newest checkpoint always is."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ukd_core.layer_source import LayerStates
from ukd_core.run.culprit import PARTS, described
from ukd_core.run.kept import all_checkpoints

if TYPE_CHECKING:
    from ukd_core.catalogue import Registry


class OnlyFinite(TrainerCallback):  # type: ignore[misc]
    """Looks at losses and weights before anything of a step is logged, evaluated or kept; the last of the callbacks.

    Args:
        look: Raises where something is not finite.
    """

    def __init__(self, look: Callable[[], None]) -> None:
        self.look = look

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """After every training step."""
        if control.should_log or control.should_evaluate or control.should_save:
            self.look()


class FewCheckpoints(TrainerCallback):  # type: ignore[misc]
    """Keeps the newest checkpoint and the best, or else the one before.

    By their steps: the engine goes by the clock, and would drop the newest where that was put back.
    """

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """A resumed phase finds its best checkpoint where the run folder is now."""
        if state.best_global_step:  # the engine forgets a path that is not there, not the step
            state.best_model_checkpoint = str(Path(args.output_dir) / f"checkpoint-{state.best_global_step}")

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """After every checkpoint."""
        if args.should_save:
            best = Path(state.best_model_checkpoint or "").name
            older = all_checkpoints(Path(args.output_dir))[1:]
            for path in sorted(older, key=lambda each: each.name != best)[1:]:
                shutil.rmtree(path)


def all_finite(values: Tensor) -> bool:
    """By the least and the greatest of them, to which NaN spreads: 25 times as fast as `isfinite` of each on a CPU.

    Args:
        values: Any shape, floating, without gradient.
    """
    return not values.numel() or bool(torch.stack(values.aminmax()).isfinite().all())


def first_not_finite(model: nn.Module, inputs: Mapping[str, Any], registry: Registry) -> str:
    """Half a sentence on which part of a model first gives numbers that are not finite for a batch; may be empty."""
    found: list[str] = []

    def note(module: nn.Module, _: Any, output: Any) -> None:
        given = output.logits if isinstance(output, LayerStates) else getattr(output, "weights", output)
        if isinstance(given, Tensor) and not given.isfinite().all():
            found.append(f", first from {described(module, registry)}")

    with ExitStack() as hooks, torch.no_grad():
        for module in model.modules():
            if isinstance(module, PARTS):
                hooks.enter_context(module.register_forward_hook(note))
        model(**inputs)
    return next(iter(found), "")
