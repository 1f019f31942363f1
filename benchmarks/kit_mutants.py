"""Does the conformance kit bite? Every law against the implementations that break it on purpose.

    python benchmarks/kit_mutants.py

Prints a line a law: the mutants that its check catches for the right reason, out of how many, their names, and how long
the check took on an implementation that keeps the law and passes. Exit status 1 where a mutant gets away.
"""

from __future__ import annotations

import os
import sys
import time
from importlib import import_module
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "conformance"))

import torch
from hypothesis import settings

from ukd_core.testing import checks_of
from ukd_core.testing.run import run_case

INTERFACES = ("layer_source", "pseudo_head", "projector", "term", "output_space")
EXAMPLES = 50


def table(interface: str) -> tuple[int, int, int, int]:
    """Print the laws of one interface; gives the number of laws, mutants, caught ones and broken correct ones."""
    module = import_module(f"test_mutants_{interface}")
    seconds: dict[str, float] = {}
    broken = 0
    for case in module.CORRECT:
        for outcome in run_case(case, EXAMPLES):
            broken += outcome.status == "FAILED"
            seconds.setdefault(outcome.law, outcome.seconds)
    laws = list(dict.fromkeys(law for case in module.CORRECT for law in checks_of(case)))
    laws = [check.__name__ for check in module.CORRECT[0].checks if check.__name__ in laws]
    total = 0
    for law in laws:
        mutants = [mutant for mutant in module.MUTANTS if mutant.law == law]
        names = [mutant.case.name if mutant.is_caught() else f"{mutant.case.name} GETS AWAY" for mutant in mutants]
        caught = sum("GETS AWAY" not in name for name in names)
        total += caught
        print(f"{interface:12} {law:38} {caught}/{len(mutants)} {seconds[law]:6.2f} s  {', '.join(names)}", flush=True)
    return len(laws), len(module.MUTANTS), total, broken


def main() -> int:
    """Print all tables and a summary."""
    torch.set_num_threads(1)
    settings.register_profile("kit", max_examples=EXAMPLES, deadline=None, database=None)
    settings.load_profile("kit")
    started, away = time.perf_counter(), 0
    lines = []
    for interface in INTERFACES:
        before = time.perf_counter()
        laws, mutants, caught, broken = table(interface)
        away += mutants - caught + broken
        lines.append(f"{interface}: {laws} laws, {caught} of {mutants} mutants caught, {broken} laws broken by correct "
                     f"implementations, {time.perf_counter() - before:.1f} s")
    print("\n".join([*lines, f"{time.perf_counter() - started:.1f} s in all, {EXAMPLES} examples a law, "
                             f"{torch.get_num_threads()} thread"]))
    return int(away > 0)


if __name__ == "__main__":
    sys.exit(main())
