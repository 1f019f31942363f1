"""Random runs for an hour, with everything that must hold checked after each: what breaks?

    python benchmarks/soak.py --minutes 60 --seed 0 --folder soak

Each case is a task, a teacher, a student, a method and options drawn at random, and what is done to the run: nothing;
kill -9, SIGTERM or SIGINT at a random moment, up to three times, each followed by the same command with --resume; a
byte of the teacher's answers flipped on disk; two runs at once on one cache, one of them killed or not. Every ``ukd``
is a process of its own (a fork of one that has imported everything). Then the run folder, its numbers, its logs, its
student and the cache are checked (`soak_checks.py`), some runs are compared byte by byte with one that nobody
disturbed, and some are reported, evaluated and exported.

What was done stays in FOLDER/soak.jsonl: stop it when you like, the same command goes on. A failure is printed with
the command that tries its chapter again (20 cases share a cache) and leaves its folder. Ends with a table.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import forked
from soak_cases import CHAPTER, chapter_of
from soak_trials import LIMIT, Chapter, Trial


def table(results: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Cases and failures by kind."""
    done, bad = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for result in results:
        for kind in {**result["kinds"], "outcome": result["outcome"], "all": ""}.items():
            done[kind] += 1
            bad[kind] += bool(result["problems"])
    yield f"{'':>14}  {'':<44} {'cases':>6} {'failed':>6}"
    last = ""
    for (what, name), count in sorted(done.items(), key=lambda item: (item[0][0] == "all", item[0])):
        yield f"{what if what != last else '':>14}  {name:<44} {count:6,} {bad[what, name]:6,}"
        last = what


def soak(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Go on where soak.jsonl ends, until the time is over or the last case is done; returns all that was ever done."""
    log = options.folder / "soak.jsonl"
    results = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.is_file() else []
    number = max([options.first - 1, *(result["number"] for result in results)]) + 1
    chapter, spent = None, 0.0
    with log.open("a", encoding="utf-8") as file:
        while spent < options.minutes * 60 and (options.last is None or number <= options.last):
            start = time.monotonic()
            if chapter is None or number % CHAPTER == 0:
                if chapter is not None and not any(path.name.startswith("case-") for path in chapter.place.iterdir()):
                    shutil.rmtree(chapter.place)
                chapter = Chapter(options.seed, chapter_of(number), options.folder)
            trial = chapter.case(number)
            found = list(trial.problems())
            seconds = time.monotonic() - start
            results.append({"number": number, "kinds": trial.case.kinds(), "outcome": trial.outcome,
                            "seconds": round(seconds, 1), "runs": len(trial.commands), "problems": found})
            file.write(json.dumps(results[-1]) + "\n")
            file.flush()
            _tell(options, results, trial)
            if not found and not options.keep:
                shutil.rmtree(trial.place)
            _empty(options.folder / "tmp")
            spent, number = spent + min(seconds, LIMIT), number + 1
    return results


def _tell(options: argparse.Namespace, results: list[dict[str, Any]], trial: Trial) -> None:
    result, number = results[-1], results[-1]["number"]
    for problem in result["problems"]:
        print(f"case {number}: {problem}")
    if result["problems"]:
        print(f"  {' ; '.join(trial.commands)}\n  again: python benchmarks/soak.py --seed {options.seed} --first "
              f"{chapter_of(number) * CHAPTER} --last {number} --folder again")
    if result["problems"] or number % 10 == 9:
        runs, failed = sum(each["runs"] for each in results), sum(bool(each["problems"]) for each in results)
        print(f"{len(results):,} cases, {runs:,} runs, {failed} failed", flush=True)


def _empty(folder: Path) -> None:
    """What runs that were killed left in the folder for temporary files, which is the system's to empty."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--last", type=int, help="number of the last case")
    parser.add_argument("--keep", action="store_true", help="keep the folders of cases that went well too")
    options = parser.parse_args()
    options.folder = options.folder.resolve()
    forked.prepare(options.folder / "tmp")
    results = soak(options)
    minutes = sum(result["seconds"] for result in results) / 60
    print("\n".join(table(results)))
    print(f"{sum(result['runs'] for result in results):,} runs in {minutes:.1f} minutes")
    sys.exit(any(result["problems"] for result in results))


if __name__ == "__main__":
    main()
