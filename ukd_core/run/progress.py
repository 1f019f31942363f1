"""What a run tells the person who waits for it: lines and progress bars on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ukd_core.terminal import visible


class SpeedColumn(ProgressColumn):
    """Steps done in a second.

    Args:
        unit: What a step is.
    """

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        """Called by rich whenever the bar is drawn."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} {self.unit}/s")


class Reporter:
    """Writes to standard error, so that results on standard output stay clean.

    Args:
        quiet: Write nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """One line about what happens now or what was found."""
        self._console.print(visible(text), markup=False)

    @contextmanager
    def board(self) -> Iterator[Callable[[str], None]]:
        """A text that is redrawn in its place while the block runs, below the lines; only on a terminal."""
        if not self._console.is_terminal:
            yield lambda text: None
            return
        with Live(console=self._console, transient=True, auto_refresh=False) as live:
            yield lambda text: live.update(Text(visible(text)), refresh=True)

    @contextmanager
    def track(self, what: str, total: int, unit: str = "steps") -> Iterator[Callable[[int], None]]:
        """A bar of `total` steps while the block runs; gives a function to call with the steps newly done."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), SpeedColumn(unit),
                   TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self._console, transient=True,
                      disable=not self._console.is_terminal) as progress:
            task = progress.add_task(what, total=total)
            yield lambda done: progress.advance(task, done)
