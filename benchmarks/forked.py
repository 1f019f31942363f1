"""Commands of ``ukd`` in processes that start in no time: forks of one that has imported everything.

Not a script. The process that forks has no threads and runs nothing itself, so that a child is what a new process would
be after its imports. Signals, exit status, output and peak memory are the child's own.
"""

from __future__ import annotations

import importlib
import os
import random
import resource
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

IMPORTED = (
    "ukd_core.cli", "ukd_core.run.distill", "ukd_core.run.preflight", "ukd_core.run.verdict",
    "ukd_core.run.verdict.table", "ukd_core.run.table", "ukd_core.run.answer", "ukd_core.run.cache.entries",
    "ukd_core.run.report", "ukd_adapters.plugin", "ukd_plugins.plugin", "ukd_plugins.output_spaces.metrics",
    "transformers.trainer", "transformers.models.auto.modeling_auto", "transformers.models.bert.modeling_bert",
    "transformers.models.roberta.modeling_roberta", "transformers.models.mpnet.modeling_mpnet",
    "transformers.models.distilbert.modeling_distilbert", "datasets.packaged_modules.csv.csv",
    "datasets.packaged_modules.json.json", "torch.testing", "torch._dynamo")
FORKED_WELL = frozenset({"jemalloc_bg_thd"})
"""Threads that libraries start anew in a fork."""
STEP = 0.005
LONGEST_NAP = 1.0
"""Seconds between two looks at a child that count at most: a machine that was stopped meanwhile is no hanging run."""


def prepare(scratch: Path) -> None:
    """Import everything that runs need; once, before the first fork.

    Args:
        scratch: Where children put their temporary files.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    os.environ.update({"TMPDIR": str(scratch), "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false",
                       "HF_HUB_OFFLINE": "1", "TERM": "dumb"})
    for name in IMPORTED:
        importlib.import_module(name)
    import gc

    import torch
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()  # so that collecting garbage does not copy what parent and child share
    threads = {(path / "comm").read_text(encoding="ascii").strip() for path in Path("/proc/self/task").iterdir()
               if path.name != str(os.getpid())}
    if threads - FORKED_WELL:
        raise SystemExit(f"threads were started by imports, and their locks would stay shut in a fork: {threads}")


@dataclass
class Child:
    """A process that was forked, and what it said."""

    pid: int
    folder: Path
    command: str
    started: float
    status: int | None = None
    """As a shell has it; minus the signal that ended it; None while it runs."""
    peak_bytes: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def out(self) -> str:
        """Standard output."""
        return (self.folder / "out").read_text(encoding="utf-8", errors="replace")

    @property
    def err(self) -> str:
        """Standard error."""
        return (self.folder / "err").read_text(encoding="utf-8", errors="replace")

    def wait(self, limit: float) -> bool:
        """Wait until it ends or, at most, for so many seconds; says whether it ended."""
        waited, last = 0.0, time.monotonic()
        while not self.poll():
            time.sleep(STEP)
            now = time.monotonic()
            waited, last = waited + min(now - last, LONGEST_NAP), now
            if waited > limit:
                return False
        return True

    def poll(self) -> bool:
        """Whether it has ended."""
        if self.status is None:
            pid, status, used = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
                self.peak_bytes, self.cpu_seconds = used.ru_maxrss * 1024, used.ru_utime + used.ru_stime
                self.seconds = time.monotonic() - self.started
        return self.status is not None

    def send(self, number: int) -> None:
        """A signal, where it still runs."""
        if not self.poll():
            os.kill(self.pid, number)

    def end(self) -> None:
        """Kill it if need be."""
        self.send(signal.SIGKILL)
        self.wait(60.0)


def forked(task: Callable[[], int], folder: Path, command: str = "") -> Child:
    """Run a task in a new process, with its output in the files ``out`` and ``err`` of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("out", "err"):  # here, so that they are there however soon the child is killed
        (folder / name).write_bytes(b"")
    sys.stdout.flush()
    sys.stderr.flush()
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _child(task, folder)
    return Child(pid, folder, command, started)


def ukd(folder: Path, *arguments: str) -> Child:
    """A command of ``ukd`` in a new process."""
    def task() -> int:
        from ukd_core.cli import main
        sys.argv = ["ukd", *arguments]
        main()
        return 0

    return forked(task, folder, shlex.join(["ukd", *arguments]))


def started(folder: Path, command: Sequence[str]) -> Child:
    """Any command in a new process that shares nothing with this one."""
    return forked(lambda: os.execv(command[0], list(command)), folder, shlex.join(command))


def finished(children: Sequence[Child], limit: float) -> list[str]:
    """Wait for all; what hung is killed and named."""
    late = [child for child in children if not child.wait(limit)]
    for child in late:
        child.end()
    return [f"did not end within {limit:.0f} s: {child.command}" for child in late]


def _child(task: Callable[[], int], folder: Path) -> None:
    status = 70
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell ignores in what it runs in the background
    try:
        for number, name in ((1, "out"), (2, "err")):
            handle = os.open(folder / name, os.O_WRONLY)
            os.dup2(handle, number)
            os.close(handle)
        _draw_anew()
        status = task()
    except SystemExit as stopped:
        status = stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
    except BaseException:  # whatever it is, the child must not go on in the parent's code
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _draw_anew() -> None:
    """Random numbers of its own, as a new process has them: nothing may follow from those of the parent."""
    import numpy as np
    import torch
    seed = int.from_bytes(os.urandom(4), "little")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
