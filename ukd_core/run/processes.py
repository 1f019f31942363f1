"""Several processes on one run, as ``torchrun`` or ``accelerate launch`` start them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from accelerate import PartialState
from filelock import FileLock, Timeout

from ukd_core.run.device import pick_device
from ukd_core.run.progress import Reporter

PATIENCE = timedelta(hours=24)
"""How long processes wait for each other: one may wait for another run's lock, or fit heads, while the rest wait."""


class Processes:
    """The processes that share a run; each takes every `count`-th shard or row, the main one writes.

    Args:
        device: Where the models run, as in the recipe.
        alone: This process does something by itself, while the others wait or have ended.
    """

    def __init__(self, device: str = "auto", *, alone: bool = False) -> None:
        self.count = 1 if alone else int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0")) if self.count > 1 else 0
        self._state = None
        if self.count > 1:
            self._state = PartialState(cpu=pick_device(device).type == "cpu", timeout=PATIENCE)

    @property
    def is_main(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self._state is not None:
            self._state.wait_for_everyone()

    def reporter(self) -> Reporter:
        """Of the main process; the others are silent."""
        return Reporter(quiet=not self.is_main)

    @contextmanager
    def lock(self, path: Path, reporter: Reporter) -> Iterator[None]:
        """Hold a lock file against other runs while the block runs; a killed process lets go of it."""
        held = FileLock(path)
        if self.is_main:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                held.acquire(timeout=0)
            except Timeout:
                reporter.say(f"waiting for another process, which builds '{path.with_suffix('')}'")
                held.acquire()
        self.wait()
        try:
            yield
        finally:
            self.wait()
            held.release()
