"""Command lines in processes of their own, forked from one that has imported everything: a run takes a second or two.

Started as a program this file is that process. It reads a JSON object a line and answers with one: ``start`` forks,
``poll`` says how a child ended.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self


class Fork:
    """A started command.

    Args:
        server: Who is its parent.
        pid: Its process.
        folder: Where its output goes.
    """

    def __init__(self, server: Forks, pid: int, folder: Path) -> None:
        self.server = server
        self.pid = pid
        self.folder = folder
        self._status: int | None = None

    def poll(self) -> int | None:
        """Exit status, minus the signal that ended it; None while it runs."""
        if self._status is None:
            self._status = self.server.ask({"do": "poll", "pid": self.pid})["status"]
        return self._status

    def wait(self, seconds: float = 120.0) -> int:
        """Exit status; a process that has not ended by then is killed, and the test fails."""
        end = time.perf_counter() + seconds
        while self.poll() is None:
            if time.perf_counter() > end:
                self.send(signal.SIGKILL)
                raise AssertionError(f"no end after {seconds} s:\n{self.errors}")
            time.sleep(0.005)
        assert self._status is not None
        return self._status

    def send(self, number: int) -> None:
        """A signal, where it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    @property
    def output(self) -> str:
        """What it wrote to standard output so far."""
        return (self.folder / "out").read_text(encoding="utf-8")

    @property
    def errors(self) -> str:
        """What it wrote to standard error so far."""
        return (self.folder / "err").read_text(encoding="utf-8")


class Forks:
    """The process that has imported everything; a context.

    Args:
        folder: Where output of commands goes.
        **environment: Variables for it and its children, `PYTHONHASHSEED` among them.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.count = 0
        self._server = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env={**os.environ, "OMP_NUM_THREADS": "1", **environment})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.close()
        self._server.stdout.close()
        self._server.wait(60)

    def ask(self, question: Mapping[str, Any]) -> Any:
        """What it answers."""
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.write(json.dumps(question) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())

    def start(self, *arguments: object, before: str = "", **environment: str) -> Fork:
        """Run ``ukd`` with these arguments.

        Args:
            *arguments: Of the command line.
            before: Python that is executed first, in the new process.
            **environment: Variables.
        """
        self.count += 1
        folder = self.folder / f"fork-{self.count}"
        folder.mkdir(parents=True)
        asked = {"do": "start", "arguments": [str(each) for each in arguments], "before": before,
                 "environment": environment, "folder": str(folder)}
        return Fork(self, self.ask(asked)["pid"], folder)


def _serve() -> None:
    import ukd_core.cli
    import ukd_core.commands.training
    import ukd_core.run.compare
    import ukd_core.run.distill
    import ukd_core.run.verdict
    import ukd_core.run.verdict.table  # noqa: F401
    from ukd_core.plugins import load_registry

    load_registry()
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "start":
            pid = os.fork()
            if pid == 0:
                signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
                _become(asked)
            answer: dict[str, int | None] = {"pid": pid}
        else:
            ended, status = os.waitpid(asked["pid"], os.WNOHANG)
            answer = {"status": os.waitstatus_to_exitcode(status) if ended else None}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _become(asked: Mapping[str, Any]) -> None:
    """The child: the command line, with its output in files."""
    from ukd_core.cli import main
    os.setpgid(0, 0)
    for number, name in ((0, os.devnull), (1, f"{asked['folder']}/out"), (2, f"{asked['folder']}/err")):
        handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(handle, number)
        os.close(handle)
    os.environ.update(asked["environment"])
    sys.argv = ["ukd", *asked["arguments"]]
    status: object = 70
    try:
        exec(asked["before"], {})
        main()
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        import traceback
        traceback.print_exc()
        status = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    _serve()
