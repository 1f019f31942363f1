"""The methods on several tasks and students: one `ukd compare` a task, and one table of all of them.

    python benchmarks/side_by_side.py run DATA OUTPUT --students cnn,bilstm --tasks trec,sst2
    python benchmarks/side_by_side.py run DATA OUTPUT_2 --teacher TEACHERS/{task} --labels 200
    python benchmarks/side_by_side.py table OUTPUT

DATA has a folder a task (trec, sst2, cola, mrpc, rte, stsb) with train and validation files, as GLUE names them. With
`--labels` only so many training rows keep their label for the student; TEACHERS has a fine-tuned teacher a task. Runs
that OUTPUT holds are read: students and methods may be added by a later call, and a killed one goes on. The table has
the mean score of each task and student, and of each method over all of them: the mean rank from 0, the first, to 1, the
last, since pairs may have other numbers of methods; and the difference from `none` and from `logit-kd` with the 95 %
interval of a bootstrap over pairs of task and student. Such pairs are what the interval is about: what to expect of
another task and student, as far as these stand for them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

METHODS = ("logit-kd", "pkd", "alp-kd", "rail-kd", "annealing-kd", "continuation-kd", "dih", "universal-kd",
           "universal-kd-ta", "universal-kd-single-phase", "pkd+universal", "rail-kd+universal")
ROWS = ("--max-train-rows", "2000", "--epochs", "3")
TASKS = {"trec": ("--max-length", "32", *ROWS),
         "sst2": ("--max-length", "64", *ROWS),
         "cola": ("--max-length", "32", "--epochs", "2", "--metric", "matthews_correlation"),
         "mrpc": ("--max-length", "64", *ROWS, "--metric", "f1"),
         "rte": ("--max-length", "80", "--epochs", "3"),
         "stsb": ("--max-length", "64", *ROWS, "--output-space", "regression")}
"""Budgets that a CPU can bear: at most 2,000 training rows where a task has many, and few passes."""
DRAWS = 10_000


def run(options: argparse.Namespace) -> None:
    """Compare on every task, one after another."""
    for task in options.tasks:
        print(f"== {task}", flush=True)
        labels = () if options.labels is None else ("--max-labels", str(options.labels))
        subprocess.run([sys.executable, "-m", "ukd_core.cli", "compare", "--data", str(options.data / task),
                        "--teacher", options.teacher.format(task=task), "--teacher-epochs", "3", *labels,
                        "--students", options.students, "--methods", options.methods, "--seeds", str(options.seeds),
                        "--output", str(options.output / task), "--cache", str(options.output / "cache"), *TASKS[task]],
                       check=True)


def scores(output: Path, tasks: list[str]) -> pd.DataFrame:
    """The finished runs of the tasks and every student, of seeds that have all methods."""
    found = []
    for task in tasks:
        for file in sorted((output / task / "runs").glob("*/*/seed-*/metrics.json")):
            told = json.loads(file.read_text(encoding="utf-8"))
            found.append({"task": task, "student": told["student"]["name"], "method": told["method"],
                          "seed": told["seed"], "score": told["student"]["metrics"][told["metric"]]})
    if not found:
        sys.exit(f"side_by_side: expected finished runs in '{output}', got none. Run first.")
    runs = pd.DataFrame(found)
    of_seed = runs.groupby(["task", "student", "seed"])["method"].transform("nunique")
    return runs[of_seed == runs.groupby(["task", "student"])["method"].transform("nunique")]


def difference(means: pd.DataFrame, method: str, other: str) -> str:
    """How much higher a method is than another, over the pairs of task and student that have both."""
    gains = (means[method] - means[other]).dropna().to_numpy()
    drawn = np.random.default_rng(0).choice(gains, (DRAWS, len(gains))).mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{gains.mean():+.4f} [{low:+.4f}, {high:+.4f}], {(gains > 0).sum()} of {len(gains)}"


def lines(runs: pd.DataFrame) -> Iterator[str]:
    """The tables in Markdown."""
    scored = runs.groupby(["task", "student", "method"])["score"]
    means = scored.mean().unstack("method")
    shown = scored.agg(lambda found: f"{found.mean():.4f} ± {found.std():.4f}").unstack("method").fillna("")
    methods = sorted(means, key=lambda name: ("none", *METHODS, name).index(name))
    for task, of_task in shown.groupby(level="task"):
        students = of_task.index.get_level_values("student")
        yield f"\n| {task} | " + " | ".join(students) + " |"
        yield "|---" * (len(students) + 1) + "|"
        for method in methods:
            yield f"| `{method}` | " + " | ".join(of_task[method]) + " |"
    ranks = means.rank(axis=1, ascending=False).sub(1).div(means.count(axis=1) - 1, axis=0).mean()
    yield f"\n| {len(means)} pairs of task and student | mean rank | over `none` | over `logit-kd` |\n|---|---|---|---|"
    for method in sorted(methods, key=lambda name: ranks[name]):
        yield f"| `{method}` | {ranks[method]:.2f} | " + " | ".join(
            "" if method == other else difference(means, method, other) for other in ("none", "logit-kd")) + " |"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    running = commands.add_parser("run")
    running.add_argument("data", type=Path)
    running.add_argument("output", type=Path)
    running.add_argument("--students", default="cnn,bilstm")
    running.add_argument("--methods", default=",".join(METHODS))
    running.add_argument("--seeds", type=int, default=3)
    running.add_argument("--teacher", default="embedded:minilm")
    running.add_argument("--labels", type=int)
    running.set_defaults(work=run)
    table = commands.add_parser("table")
    table.add_argument("output", type=Path)
    table.set_defaults(work=lambda options: print("\n".join(lines(scores(options.output, options.tasks)))))
    for command in (running, table):
        command.add_argument("--tasks", type=lambda text: text.split(","), default=list(TASKS))
    options = parser.parse_args()
    options.work(options)


if __name__ == "__main__":
    main()
