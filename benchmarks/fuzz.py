"""Bad input, a few thousand times: every command has to end in a right result or in one clear line with exit status 2.

    python benchmarks/fuzz.py --cases 2000 --seed 0

First the corpus of nasty data files (tests/bad_input/nasty_files.py), then cases that Hypothesis draws from the seed:
recipes, options, rows, bytes. The code is that of the tests. Prints a line every 100 cases, every fault with the folder
that has its files and its command, and a table; exit status 1 where there is a fault. Stopped, it goes on where it was:
what ended is kept in --folder. A case that ends the process (a crash in C++) counts as a fault, and the rest goes on.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "bad_input"))

BATCH = 50
"""Cases that are drawn together from a seed of their own."""
WORDS = ("right result", "refused", "FAULT")


def cases(count: int, seed: int) -> Iterator[object]:
    """The corpus, then as many generated cases as are left, kind by kind in batches."""
    from nasty_files import corpus
    from strategies import GENERATED
    known = [nasty.case for nasty in corpus()][:count]
    yield from known
    left, batch = count - len(known), 0
    while left > 0:
        kind = list(GENERATED)[batch % len(GENERATED)]
        for case in drawn(GENERATED[kind], 1000 * seed + batch)[:left]:
            left -= 1
            yield case
        batch += 1


def drawn(strategy: object, seed: int) -> list[object]:
    """A batch of cases; the same ones for the same seed."""
    import hypothesis
    found: list[object] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(max_examples=BATCH, database=None, deadline=None, phases=[hypothesis.Phase.generate],
                         suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(strategy)
    def draw(case: object) -> None:
        found.append(case)

    draw()
    return found


def work(folder: Path, count: int, seed: int) -> None:
    """Try what was not tried yet; a line a case in ``results.jsonl``."""
    import torch
    from oracle import LIMIT, PATIENCE, Ending, try_case
    from worlds import World

    import ukd_core.run.measuring
    ukd_core.run.measuring.SECONDS = 0.0
    torch.set_num_threads(1)
    world, results, begun = World.make(folder / "world"), folder / "results.jsonl", folder / "begun"
    done = len(results.read_text().splitlines()) if results.exists() else 0
    crashed, crash = folder / "crashed", (folder / "crash.txt").open("w")
    for number, case in enumerate(cases(count, seed)):
        if number < done:
            continue
        if crashed.exists() and crashed.read_text().startswith(f"{number}\n"):
            ending = Ending(faults=["the process ended: " + crashed.read_text()[:2000]])
        else:
            begun.write_text(str(number))
            here = Path(tempfile.mkdtemp(prefix="case-", dir=folder))
            faulthandler.dump_traceback_later(2 * LIMIT * PATIENCE, exit=True, file=crash)
            faulthandler.enable(crash)
            ending = try_case(case, world, here)
            faulthandler.cancel_dump_traceback_later()
            shutil.rmtree(here, ignore_errors=True)
        if ending.faults:
            keep(folder / "failures" / str(number), case, ending)
        with results.open("a") as file:
            file.write(json.dumps([case.kind, case.arguments[0] if case.arguments else "", ending.verdict,
                                   round(ending.seconds, 2)]) + "\n")
        if (number + 1) % 100 == 0:
            print(f"{number + 1} cases", flush=True)


def keep(folder: Path, case: object, ending: object) -> None:
    """What reproduces a fault: the files, the command, and what was wrong."""
    from oracle import lay_out
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "files").mkdir(parents=True)
    lay_out(case, folder / "files", folder.parents[1] / "world")
    command = shlex.join(["ukd", *(argument.replace("{world}", "../../../world") for argument in case.arguments)])
    text = "\n".join([command, "", *ending.faults, "", "--- said:", ending.err])
    (folder / "fault.txt").write_text(text, encoding="utf-8", errors="backslashreplace")
    print(f"FAULT in {folder}: {command[:200]!r}\n    {ending.faults[0].strip().splitlines()[-1][:200]!r}", flush=True)


def table(folder: Path, seconds: float) -> int:
    """Print what came of each kind; gives the number of faults."""
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    counts = Counter((kind, verdict) for kind, _, verdict, _ in lines)
    print(f"{'kind':10}" + "".join(f"{word:>14}" for word in WORDS))
    for kind in dict.fromkeys(line[0] for line in lines):
        print(f"{kind:10}" + "".join(f"{counts[kind, word]:14}" for word in WORDS))
    total = Counter(line[2] for line in lines)
    print(f"{'all':10}" + "".join(f"{total[word]:14}" for word in WORDS))
    commands = Counter(line[1] for line in lines)
    print(f"{len(lines)} cases; slowest {max(line[3] for line in lines)} s; {seconds:.0f} s in this start")
    print("commands: " + ", ".join(f"{name or repr('')} {number}" for name, number in commands.most_common(14)))
    return total["FAULT"]


def main() -> int:
    """Start processes that work until all cases have ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="what was done, and what failed; default: in the temporary folder")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder = (options.folder or Path(tempfile.gettempdir()) / f"ukd-fuzz-{options.seed}").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if options.worker:
        work(folder, options.cases, options.seed)
        return 0
    start = time.perf_counter()
    while subprocess.run([sys.executable, __file__, "--worker", "--cases", str(options.cases), "--seed",
                          str(options.seed), "--folder", str(folder)]).returncode:
        at = f"{(folder / 'begun').read_text() if (folder / 'begun').exists() else 'none'}\n"
        if at == "none\n" or ((folder / "crashed").exists() and (folder / "crashed").read_text().startswith(at)):
            return 1  # no case was tried since the last crash: the fault is this script's
        (folder / "crashed").write_text(at + (folder / "crash.txt").read_text())
    return int(table(folder, time.perf_counter() - start) > 0)


if __name__ == "__main__":
    sys.exit(main())
