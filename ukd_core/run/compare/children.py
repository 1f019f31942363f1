"""The processes that a comparison starts: all of them end when it does."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from threading import Lock

PATIENCE = 10.0
"""Seconds that all of them get to end in order; then they are killed, which costs a run no more than its last steps."""


class Children:
    """Processes that run now; used by several threads at once."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = Lock()
        self._stopped = False

    def run(self, command: Sequence[str], **environment: str) -> tuple[int, str]:
        """Do a command to its end.

        Args:
            command: As `subprocess.Popen` takes it.
            **environment: Variables besides those of this process.

        Returns:
            Its exit status and what it wrote to standard error; -15 and nothing where `stop` came first.
        """
        with self._lock:
            if self._stopped:
                return -15, ""
            child = subprocess.Popen(command, env={**os.environ, **environment}, text=True, stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            self._running.add(child)
        try:
            _, errors = child.communicate()
            return child.returncode, errors
        finally:
            with self._lock:
                self._running.discard(child)

    def stop(self) -> None:
        """Ask all of them to end, see that they do, and start no other."""
        with self._lock:
            self._stopped = True
            running = list(self._running)
        for child in running:
            child.terminate()
        end = time.perf_counter() + PATIENCE
        for child in running:
            try:
                child.wait(max(0.0, end - time.perf_counter()))
            except subprocess.TimeoutExpired:
                child.kill()
