"""What does a training step of `universal-kd` cost over one of `none`, on a machine that is never quiet?

    python benchmarks/step_cost.py --data FOLDER --rows 3200 --epochs 2 --students bilstm,cnn,bert

Two whole runs with one seed, each in a process of its own, take turns after every few steps, so whatever else the
machine does falls on both alike. A turn is all that happens from the beginning of its first step to that of the next
turn: batches, steps, logs, and once the change of phases. Printed are the sum and the median of the turns of each run,
and their ratios. Every repeat is begun by the other one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event, Semaphore
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from contest import Contest, Pair, command_line, ours, prepared
from method_cost import METHODS, STUDENTS, trained

from ukd_core.run.trainer import ProgressToModel

SPAWN = multiprocessing.get_context("spawn")  # a forked process has no pool of threads to compute with


@dataclass
class Side:
    """One of two processes that take turns.

    Args:
        mine: Released when this side's turn begins.
        others: Released when it ends.
        alone: Set once the other side is done.
        leaves: To set when this one is.
    """

    mine: Semaphore
    others: Semaphore
    alone: Event
    leaves: Event

    def wait(self) -> None:
        """For the turn to begin."""
        if not self.alone.is_set():
            self.mine.acquire()

    def change(self) -> None:
        """The turn ends; the next one begins when the other side has had its own."""
        self.others.release()
        self.wait()

    def leave(self) -> None:
        """No more turns: the other side has them all."""
        self.leaves.set()
        self.others.release()


def two_sides() -> tuple[Side, Side]:
    """The first one begins."""
    (first, second), (one, other) = (SPAWN.Semaphore(1), SPAWN.Semaphore(0)), (SPAWN.Event(), SPAWN.Event())
    return Side(first, second, alone=other, leaves=one), Side(second, first, alone=one, leaves=other)


@contextmanager
def turns_of(side: Side, steps: int) -> Iterator[list[float]]:
    """Within the context a training changes turns before every so many steps; seconds of each turn, but the last."""
    begin, spent, step, began = ProgressToModel.on_step_begin, [], 0, 0.0

    def changed(self: ProgressToModel, *args: Any, **rest: Any) -> None:
        nonlocal step, began
        if step % steps == 0:
            if step:
                spent.append(time.perf_counter() - began)
            side.change()
            began = time.perf_counter()
        step += 1
        begin(self, *args, **rest)

    side.wait()
    try:
        with patch.object(ProgressToModel, "on_step_begin", changed):
            yield spent
    finally:
        side.leave()


def run(contest: Contest, cache: Path, method: str, sides: list[Side], found: SimpleQueue[list[float]]) -> None:
    """The process of one method: all its repeats."""
    ours(contest, cache, 0, method=method, epochs=0.1)  # pays for imports and first kernels
    for side in sides:
        with turns_of(side, contest.options.turn) as spent:
            trained(contest, cache, method)
        found.put(spent)


def in_turns(contest: Contest, cache: Path) -> Iterator[tuple[list[float], list[float]]]:
    """Seconds of the turns of both methods, repeat by repeat."""
    pairs = [two_sides() for _ in range(contest.options.repeats)]
    sides = zip(*(pair if number % 2 == 0 else pair[::-1] for number, pair in enumerate(pairs)), strict=True)
    queues: list[SimpleQueue[list[float]]] = [SPAWN.SimpleQueue() for _ in METHODS]
    processes = [SPAWN.Process(target=run, args=(contest, cache, method, list(own), queue), daemon=True)
                 for method, own, queue in zip(METHODS, sides, queues, strict=True)]
    for process in processes:
        process.start()
    for _ in pairs:
        plain, method = (taken(queue, process) for queue, process in zip(queues, processes, strict=True))
        yield plain, method


def taken(queue: SimpleQueue[list[float]], process: SpawnProcess) -> list[float]:
    """What the process gives next."""
    while queue.empty():
        process.join(0.1)
        if not process.is_alive() and queue.empty():
            raise SystemExit("a run ended with an error, see above")
    return queue.get()


def main() -> None:
    parser = command_line(__doc__, pairs=False)
    parser.add_argument("--students", default="bilstm,cnn,bert", help=f"some of {', '.join(STUDENTS)}")
    parser.add_argument("--turn", type=int, default=10, help="steps of a turn")
    options: argparse.Namespace = parser.parse_args()
    print(f"{'student':>8} {'turns':>6} {'none, s':>9} {'universal, s':>13} {'ratio':>7} "
          f"{'median turn, ms':>16} {'universal':>10} {'ratio':>7}")
    for name in options.students.split(","):
        with prepared(options, Pair("minilm", STUDENTS[name])) as contest:
            cache = contest.folder / "cache"
            ours(contest, cache, 0, method="universal-kd", epochs=0.1)  # fills the cache
            for plain, method in in_turns(contest, cache):
                sums, turns = [sum(plain), sum(method)], [1e3 * median(plain), 1e3 * median(method)]
                print(f"{name:>8} {len(plain):6} {sums[0]:9.2f} {sums[1]:13.2f} {sums[1] / sums[0]:7.3f} "
                      f"{turns[0]:16.2f} {turns[1]:10.2f} {turns[1] / turns[0]:7.3f}", flush=True)


if __name__ == "__main__":
    main()
