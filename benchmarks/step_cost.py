"""What does a training step of `universal-kd` cost over one of `none`, on a machine that is never quiet?

    python benchmarks/step_cost.py --data FOLDER --rows 3200 --epochs 2 --students bilstm,cnn,bert

Two whole runs with one seed share a process and take turns after every step, so whatever else the machine does falls
on both alike. A turn is all that happens between the beginnings of two steps: the batch, the step, the log, and once
the change of phases. Printed are the sum and the median of the turns of each run, and their ratios.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from threading import Condition, current_thread
from typing import Any

from contest import Contest, Pair, command_line, ours, prepared
from method_cost import METHODS, STUDENTS, trained

from ukd_core.run.trainer import ProgressToModel


class Turns:
    """Lets one of two threads work at a time.

    Args:
        names: Of the threads; the first begins.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.working = list(names)
        self.turn = names[0]
        self.changed = Condition()
        self.spent: dict[str, list[float]] = {name: [] for name in names}
        self.began: dict[str, float] = {}

    def begin(self, name: str) -> None:
        """Wait for the first turn."""
        with self.changed:
            self.changed.wait_for(lambda: self.turn == name)

    def change(self, name: str) -> None:
        """A step begins: the turn ends, and the next one starts when the other has had his."""
        if name in self.began:
            self.spent[name].append(time.perf_counter() - self.began[name])
        with self.changed:
            self._give_away(name)
            self.changed.wait_for(lambda: self.turn == name)
        self.began[name] = time.perf_counter()

    def leave(self, name: str) -> None:
        """The run is over; the other has all turns."""
        with self.changed:
            self._give_away(name)
            self.working.remove(name)

    def _give_away(self, name: str) -> None:
        self.turn = next((other for other in self.working if other != name), name)
        self.changed.notify_all()


@contextmanager
def every_step(turns: Turns) -> Iterator[None]:
    """Within the context every training step begins with a change of turns."""
    begin = ProgressToModel.on_step_begin

    def changed(self: ProgressToModel, *args: Any, **rest: Any) -> None:
        turns.change(current_thread().name)
        begin(self, *args, **rest)

    ProgressToModel.on_step_begin = changed  # type: ignore[method-assign]
    try:
        yield
    finally:
        ProgressToModel.on_step_begin = begin  # type: ignore[method-assign]


def in_turns(contest: Contest, cache: Path) -> dict[str, list[float]]:
    """Seconds of each turn of both methods; the last turn of a run is not among them."""
    turns = Turns(METHODS)

    def run(method: str) -> None:
        current_thread().name = method
        turns.begin(method)
        try:
            trained(contest, cache, method)
        finally:
            turns.leave(method)

    with every_step(turns), ThreadPoolExecutor(len(METHODS)) as pool:
        for done in [pool.submit(run, method) for method in METHODS]:
            done.result()
    return turns.spent


def main() -> None:
    parser = command_line(__doc__, pairs=False)
    parser.add_argument("--students", default="bilstm,cnn,bert", help=f"some of {', '.join(STUDENTS)}")
    options: argparse.Namespace = parser.parse_args()
    print(f"{'student':>8} {'steps':>6} {'none, s':>9} {'universal, s':>13} {'ratio':>7} "
          f"{'median step, ms':>16} {'universal':>10} {'ratio':>7}")
    for name in options.students.split(","):
        with prepared(options, Pair("minilm", STUDENTS[name])) as contest:
            cache = contest.folder / "cache"
            for method in METHODS:  # fills the cache and pays for imports and first kernels
                ours(contest, cache, 0, method=method, epochs=0.1)
            for _ in range(options.repeats):
                plain, method_turns = (spent for spent in in_turns(contest, cache).values())
                sums, steps = [sum(plain), sum(method_turns)], [1e3 * median(plain), 1e3 * median(method_turns)]
                print(f"{name:>8} {len(plain):6} {sums[0]:9.2f} {sums[1]:13.2f} {sums[1] / sums[0]:7.3f} "
                      f"{steps[0]:16.2f} {steps[1]:10.2f} {steps[1] / steps[0]:7.3f}", flush=True)


if __name__ == "__main__":
    main()
