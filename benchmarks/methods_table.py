"""Do the methods help one student? Several seeds each, one teacher, one cache; prints mean ± sd as a Markdown table.

    python benchmarks/methods_table.py --data FOLDER --output runs/sst2 --student bilstm --seeds 3 \
        --methods none,logit-kd,universal-kd --set max_train_rows=20000 --set epochs=5

Finished runs in the output folder are read, not repeated, so the command can be stopped and started again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml

from ukd_core import Recipe, distill
from ukd_core.run.output import finished_metrics


def run(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """One run; read from its folder where it is complete, resumed where it is not."""
    recipe = Recipe.make({**settings, "output": str(folder)})
    begun = (folder / "recipe.yaml").is_file()
    return finished_metrics(folder) or distill(recipe, resume=begun)


def spread(values: list[float], digits: int) -> str:
    """Mean ± sample standard deviation."""
    sd = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{sd}"


def main() -> None:
    """Read the command line, run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--teacher", default="embedded:minilm")
    parser.add_argument("--student", default="bilstm")
    parser.add_argument("--methods", default="none,logit-kd,universal-kd")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--metric", default="accuracy")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any key of a recipe")
    options = parser.parse_args()
    extra = {key: yaml.safe_load(value) for key, _, value in (item.partition("=") for item in options.set)}
    settings = {"data": options.data, "teacher": options.teacher, "student": options.student, **extra}
    table = {method: [run(options.output / f"{method}-{seed}", {**settings, "method": method, "seed": seed})
                      for seed in range(options.seeds)] for method in options.methods.split(",")}
    first = next(iter(table.values()))[0]
    print(f"teacher {options.metric}: {first['teacher']['metrics'][options.metric]:.4f}; by layer: "
          + " ".join(f"{score:.4f}" for score in first["layer_accuracy"]))
    print(f"\n| method | {options.metric} | over none, paired by seed | agreement with teacher | train seconds |")
    print("|---|---|---|---|---|")
    for method, runs in table.items():
        scores = [each["student"]["metrics"][options.metric] for each in runs]
        gains = [score - base["student"]["metrics"][options.metric]
                 for score, base in zip(scores, table.get("none", []), strict=False)]
        print(f"| {method} | {spread(scores, 4)} | {spread(gains, 4) if gains and method != 'none' else ''} "
              f"| {spread([each['agreement'][each['evaluated_on']] for each in runs], 4)} "
              f"| {spread([each['seconds']['train'] for each in runs], 0)} |")


if __name__ == "__main__":
    main()
