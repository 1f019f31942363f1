"""Where the time of a training goes: timers around its parts, put in from outside. Not a script."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from transformers import Trainer

from ukd_core import LayerSource, Projector, PseudoHead, Term

MODULES: dict[str, type[nn.Module]] = {"student forward": LayerSource, "projector": Projector, "heads": PseudoHead,
                                       "terms, rest": Term}
PARTS = ("set-up", "batches", "student forward", "heads", "projector", "terms, rest", "backward", "clipping",
         "optimizer", "evaluation", "checkpoints")
"""In the order of a step; a part that runs inside of another is counted once, as itself."""


class Sections:
    """Seconds by part; a stack, so that a part inside of another is taken off the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._open: list[tuple[str, float]] = []
        self._inner: list[float] = []

    def begin(self, part: str) -> None:
        """A part begins."""
        self._open.append((part, time.perf_counter()))
        self._inner.append(0.0)

    def end(self) -> None:
        """The part that began last ends."""
        part, start = self._open.pop()
        spent = time.perf_counter() - start
        self.seconds[part] += spent - self._inner.pop()
        self.calls[part] += 1
        if self._inner:
            self._inner[-1] += spent

    def around(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with a timer around it."""
        def timed(*args: Any, **kwargs: Any) -> Any:
            self.begin(part)
            try:
                return function(*args, **kwargs)
            finally:
                self.end()
        return timed


def part_of(module: nn.Module) -> str | None:
    """The part that a module's forward pass is; only training counts."""
    return next((part for part, kind in MODULES.items() if isinstance(module, kind)), None) if module.training else None


@contextmanager
def watched() -> Iterator[Sections]:
    """Time the parts of every training in the block; on a GPU the times are those of the launches."""
    sections = Sections()

    def before(module: nn.Module, _: Any) -> None:
        if part := part_of(module):
            sections.begin(part)

    def after(module: nn.Module, _: Any, __: Any) -> None:
        if part_of(module):
            sections.end()

    loaders = torch.utils.data.dataloader._BaseDataLoaderIter
    handles = [register_module_forward_pre_hook(before), register_module_forward_hook(after),
               register_optimizer_step_pre_hook(lambda *_: sections.begin("optimizer")),
               register_optimizer_step_post_hook(lambda *_: sections.end())]
    places = [(loaders, "__next__", "batches"), (torch.Tensor, "backward", "backward"),
              (nn.utils, "clip_grad_norm_", "clipping"), (Trainer, "__init__", "set-up"),
              (Trainer, "evaluate", "evaluation"), (Trainer, "_save_checkpoint", "checkpoints")]
    patches = [patch.object(owner, name, sections.around(part, getattr(owner, name))) for owner, name, part in places]
    try:
        for each in patches:
            each.start()
        yield sections
    finally:
        for each in patches:
            each.stop()
        for handle in handles:
            handle.remove()
