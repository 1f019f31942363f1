"""One self-contained HTML file about a run or a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ukd_core.errors import InputError
from ukd_core.run.files import write_text

if TYPE_CHECKING:
    from ukd_core.plugins import Registry

FILE = "report.html"


def write_report(folder: str | Path, output: str | Path | None = None, registry: Registry | None = None) -> Path:
    """Write the page of a finished run or of a comparison; the same folder gives the same bytes.

    Args:
        folder: As ``ukd distill`` or ``ukd compare`` left it.
        output: The file; None for ``report.html`` in the folder.
        registry: Output spaces and methods; None for those that are installed. What a recipe names is not loaded.

    Returns:
        The file.

    Raises:
        InputError: the folder holds neither, or the file cannot be written.
    """
    place = Path(folder)
    target = place / FILE if output is None else Path(output)
    if target.is_dir():
        raise InputError(f"output '{target}'", "expected an HTML file, got a folder", "Name a file in it.")
    if target.exists() and not target.is_file():  # a device or a pipe would be replaced by the page
        raise InputError(f"output '{target}'", "expected an HTML file, got something else", "Name another.")
    text = _page(place, registry)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text(target, text)
    return target


def _page(folder: Path, registry: Registry | None) -> str:
    from ukd_core.run.report.comparison import comparison_page, is_comparison
    from ukd_core.run.report.page import run_page
    if is_comparison(folder):
        return comparison_page(folder, registry)
    if not folder.is_dir():
        raise InputError(f"report '{folder}'", "no such folder", "Name the --output of a run or a comparison.")
    return run_page(folder, registry)


__all__ = ["write_report"]
