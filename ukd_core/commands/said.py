"""What commands print on standard output."""

from __future__ import annotations

import typer

from ukd_core.terminal import visible


def say(text: str, *, end: bool = True) -> None:
    """Print a result, with what would control the terminal made visible.

    Args:
        text: Lines.
        end: End the last one.
    """
    typer.echo(visible(text), nl=end)
