"""What installed plug-ins cost when the command line starts: wall time with none and with fifty of them.

python benchmarks/plugin_startup.py [--plugins 50] [--repeats 7]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

COMMANDS = (("--help",), ("distill", "--help"), ("plugins",), ("methods",))
MODULE = """
from ukd_core import Projector, hookimpl


class P{number}(Projector):
    name = "crowd-{number}"

    def weights(self, student, teacher):
        return student.new_ones(len(student), len(teacher), student.shape[1]) / len(teacher)


@hookimpl
def ukd_register_projectors():
    return [P{number}]
"""


def install(folder: Path, count: int) -> None:
    """Write `count` distributions of one projector each, the way an installer leaves them."""
    for number in range(count):
        (folder / f"crowd_{number}.py").write_text(MODULE.format(number=number), encoding="utf-8")
        info = folder / f"ukd_crowd_{number}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: ukd-crowd-{number}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[ukd]\ncrowd-{number} = crowd_{number}\n")


def seconds(arguments: Sequence[str], folder: Path) -> float:
    """Wall time of one start with the folder on Python's path."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "ukd_core.cli", *arguments], check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, "PYTHONPATH": str(folder)})
    return time.perf_counter() - start


def imported(arguments: Sequence[str], folder: Path) -> int:
    """How many of the crowd's modules a start imports."""
    code = (f"import sys\nfrom ukd_core.cli import main\nsys.argv = ['ukd', *{list(arguments)!r}]\n"
            "try:\n    main()\nfinally:\n    sys.stderr.write(str(sum(m.startswith('crowd_') for m in sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(folder)})
    return int(done.stderr.split()[-1])


def main() -> None:
    """Measure with and without in turn, so that a noisy moment hits both; print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plugins", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=7)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        without, crowd = Path(root) / "without", Path(root) / "crowd"
        without.mkdir()
        crowd.mkdir()
        install(crowd, told.plugins)
        print(f"| command | imported of {told.plugins} | without, s | with {told.plugins}, s | with / without |")
        print("|---|---|---|---|---|")
        for arguments in COMMANDS:
            count = imported(arguments, crowd)  # also writes the byte code, as an installer does
            times: dict[Path, list[float]] = {without: [], crowd: []}
            for _ in range(told.repeats):
                for folder, measured in times.items():
                    measured.append(seconds(arguments, folder))
            bare, full = (statistics.median(measured) for measured in times.values())
            print(f"| `ukd {' '.join(arguments)}` | {count} | {bare:.2f} | {full:.2f} | {full / bare:.2f} |")


if __name__ == "__main__":
    main()
