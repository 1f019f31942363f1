"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from ukd_core.run.cache.entries import kept
from ukd_core.terminal import visible

if TYPE_CHECKING:
    from ukd_core.plugins import Registry

WIDTH = 120


def text_table(title: str, header: Sequence[str], rows: Iterable[Sequence[Any]], right: Iterable[int] = ()) -> str:
    """A table as text, at most `WIDTH` columns wide.

    Args:
        title: The line above it.
        header: Names of the columns.
        rows: Cells; anything with a text form.
        right: Columns that hold numbers.
    """
    table = Table(title=visible(title), box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    numbers = set(right)
    for index, name in enumerate(header):
        table.add_column(visible(name), justify="right" if index in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(visible(str(cell)) for cell in row))
    console = Console(width=WIDTH, color_system=None, highlight=False, markup=False, emoji=False)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def cache_table(cache: Path) -> str:
    """Entries of a cache folder with their sizes."""
    found = list(kept(cache))
    rows = [[entry.kind, entry.path.name, f"{entry.size / 1e6:,.1f}", entry.written, entry.about] for entry in found]
    title = f"{cache}: {len(found)} entries, {sum(entry.size for entry in found) / 1e6:,.1f} MB"
    return text_table(title, ["kind", "name", "MB", "written (UTC)", "what"], rows, (2,))


def run_table(metrics: dict[str, Any], output: str) -> str:
    """What a run came to: teacher and student side by side, layers, times."""
    rows = []
    names = list(metrics["teacher"]["metrics"])
    between = [("assistant", part) for part in metrics.get("assistants", ())]
    for side, part in (("teacher", metrics["teacher"]), *between, ("student", metrics["student"])):
        rows.append([side, part["name"], part["layers"], f"{part['parameters']:,}",
                     *(f"{part['metrics'][name]:.4f}" for name in names)])
    title = f"{metrics['method']}, seed {metrics['seed']}" + (
        f", scored on {metrics['evaluated_on']}" if metrics["evaluated_on"] else "")
    table = text_table(title, ["", "model", "layers", "parameters", *names], rows, range(2, 4 + len(names)))
    layers = " ".join("-" if score is None else f"{score:.3f}" for score in metrics["layer_accuracy"])
    seconds = ", ".join(f"{name} {spent:.1f}" for name, spent in metrics["seconds"].items())
    return "\n".join([table, f"teacher by layer: {layers}" if layers else "",
                      f"teacher rows forwarded: {metrics['teacher_rows_forwarded']}", f"seconds: {seconds}",
                      f"run folder: {output}"])


def plugin_table(registry: Registry) -> str:
    """Everything registered, by kind, with the plug-in it comes from; then what is broken."""
    rows = []
    for catalogue in registry.catalogues:
        for name, product in catalogue.items():
            rows.append([catalogue.kind, name, getattr(product, "summary", ""), catalogue.origin(name)])
    table = text_table("plug-ins", ["kind", "name", "what it is", "from"], rows)
    return "\n".join([table, *(f"broken: {problem}" for problem in registry.problems)])
