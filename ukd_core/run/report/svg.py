"""From a matplotlib figure to a drawing within a page, in the colours of the page: right by day and by night.

Figures are drawn in stand-in colours that no page shows; here each becomes a variable of the style sheet. Text stays
text, in the font of the page. The same figure gives the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, GRID, TEACHER, STUDENT, BASELINE, OTHER = (f"#0{digit}0{digit}0{digit}" for digit in "1234567")
SERIES = tuple(f"#1{digit}1{digit}1{digit}" for digit in "01234567")
"""Of methods side by side; they begin again where there are more."""
VARIABLES: Mapping[str, str] = MappingProxyType({
    INK: "ink", SOFT: "soft", GRID: "rule", TEACHER: "teacher", STUDENT: "student", BASELINE: "baseline",
    OTHER: "other", **{colour: f"series-{number}" for number, colour in enumerate(SERIES)}})
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "p")
GLYPHS = ("●", "■", "◆", "▲", "▼", "✚", "✖", "⬟")
"""How the page writes a marker."""
WIDTH = 4.6
"""Inches: narrow enough that letters are large enough on a phone."""


@contextmanager
def style() -> Iterator[None]:
    """Within the context figures are made in the page's style."""
    import matplotlib
    with matplotlib.rc_context({
            "svg.fonttype": "none", "svg.hashsalt": "ukd", "text.parse_math": False, "font.size": 10,
            "font.family": "DejaVu Sans", "text.color": INK, "axes.labelcolor": SOFT, "axes.edgecolor": GRID,
            "xtick.color": SOFT, "ytick.color": SOFT, "grid.color": GRID, "axes.grid": True, "grid.linewidth": 0.6,
            "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "axes.titlesize": 10,
            "axes.titlelocation": "left", "axes.titlecolor": INK, "lines.linewidth": 1.8, "xtick.major.size": 0,
            "xtick.minor.size": 0, "ytick.major.size": 0, "axes.unicode_minus": True}):
        yield


def axes(height: float = 3.0, *, long_names: bool = False) -> tuple[Figure, Axes]:
    """An empty figure of the page's width.

    Args:
        height: Inches.
        long_names: Find the margins that the names on the axis need; else they are wide enough for numbers.
    """
    from matplotlib.figure import Figure
    figure = Figure(figsize=(WIDTH, height), layout="constrained" if long_names else None)
    if not long_names:
        figure.subplots_adjust(left=0.16, right=0.98, bottom=0.5 / height, top=1.0 - 0.28 / height)
    return figure, figure.subplots()


def as_svg(figure: Figure, name: str, description: str) -> Markup:
    """The figure as an element of the page.

    Args:
        figure: Drawn within `style`.
        name: Goes before every id; unlike the names of the other figures of the page.
        description: What it shows, for those who do not see it.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True,
                   metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg"):], flags=re.DOTALL)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--font)", text)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="|url\()#', rf"\1#{name}-", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    told = f' role="img" aria-label="{escape(description)}">'
    whole = re.sub(r"(<svg[^>]*)>", lambda start: start[1] + told, text, count=1)
    # matplotlib escaped every text in it.
    return Markup(whole)  # nosec B704
