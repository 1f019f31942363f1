"""What does `universal-kd` cost over `none`, for the same student, rows and steps, from a warm cache?

    python benchmarks/method_cost.py --data FOLDER --rows 2000 --epochs 3 --repeats 5

For each student: training seconds of both methods in one process, in alternation, with the same seed, so with the same
weights and the same number of steps; the medians and their ratio, and the same for processor seconds of all threads,
which other programs on the machine disturb less. Then one more run of each with timers inside says
where the difference goes, in milliseconds a step; a run with timers is a little slower than one without.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from contest import Contest, Pair, command_line, ours, prepared
from sections import PARTS, watched

from ukd_core.run import distill

STUDENTS = {"bilstm": "bilstm", "cnn": "cnn", "bert": "bert:layers=4", "bert2": "bert:layers=2,init=teacher-lower"}
METHODS = ("none", "universal-kd")


def trained(contest: Contest, cache: Path, method: str) -> dict[str, Any]:
    """One run; it must not have asked the teacher."""
    metrics = ours(contest, cache, 0, method=method)
    if metrics["teacher_rows_forwarded"]:
        raise SystemExit("expected a warm cache, but the teacher ran")
    return metrics


@contextmanager
def processor_seconds() -> Iterator[list[float]]:
    """Within the context the processor seconds of each training are appended to the list."""
    train, spent = distill.train_phases, []

    def timed(*args: Any) -> Any:
        start = time.process_time()
        endings = train(*args)
        spent.append(time.process_time() - start)
        return endings

    distill.train_phases = timed
    try:
        yield spent
    finally:
        distill.train_phases = train


def alternate(contest: Contest, cache: Path) -> dict[str, list[tuple[float, float]]]:
    """Training seconds and processor seconds of each method, in pairs; each pair begins with the other one."""
    times: dict[str, list[tuple[float, float]]] = {method: [] for method in METHODS}
    for number in range(contest.options.repeats):
        for method in METHODS if number % 2 == 0 else reversed(METHODS):
            with processor_seconds() as spent:
                times[method].append((trained(contest, cache, method)["seconds"]["train"], spent[-1]))
    return times


def where(contest: Contest, cache: Path) -> dict[str, dict[str, float]]:
    """Milliseconds a step by part, for each method."""
    found = {}
    for method in METHODS:
        with watched() as sections:
            total = trained(contest, cache, method)["seconds"]["train"]
        parts = {part: sections.seconds[part] for part in PARTS}
        parts["rest"] = total - sum(parts.values())
        steps = sections.calls["optimizer"]
        found[method] = {part: 1e3 * seconds / steps for part, seconds in (*parts.items(), ("total", total))}
        found[method]["steps"] = steps
    return found


def report(name: str, times: dict[str, list[tuple[float, float]]], parts: dict[str, dict[str, float]]) -> None:
    """One student's lines."""
    for index, what in enumerate(("seconds", "processor seconds")):
        plain, method = ([time[index] for time in times[key]] for key in METHODS)
        pairs = [one / other for one, other in zip(method, plain, strict=True)]
        print(f"{name}, {what}: universal-kd / none = {median(method) / median(plain):.3f} "
              f"({median(method):.2f} / {median(plain):.2f}; pairs {min(pairs):.3f} to {max(pairs):.3f}, "
              f"median {median(pairs):.3f})")
    print(f"{'ms a step':>17} {'none':>9} {'universal':>9} {'more':>9}")
    for part, before in parts["none"].items():
        after = parts["universal-kd"][part]
        print(f"{part:>17} {before:9.3f} {after:9.3f} {after - before:9.3f}")


def main() -> None:
    parser = command_line(__doc__, pairs=False)
    parser.add_argument("--students", default="bilstm,cnn,bert", help=f"some of {', '.join(STUDENTS)}")
    options: argparse.Namespace = parser.parse_args()
    for name in options.students.split(","):
        with prepared(options, Pair("minilm", STUDENTS[name])) as contest:
            cache = contest.folder / "cache"
            for method in METHODS:  # fills the cache and pays for imports and first kernels
                ours(contest, cache, 0, method=method, epochs=0.5)
            report(name, alternate(contest, cache), where(contest, cache))


if __name__ == "__main__":
    main()
