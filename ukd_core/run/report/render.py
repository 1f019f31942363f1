"""HTML from the templates beside this file; everything that is put into them is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def render(template: str, **values: Any) -> str:
    """A whole page. Only `Markup`, which the figures are, is taken as it is."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True,
                              lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters |= {"weight": weight_text, "options": options_text, "signed": signed, "score": score}
    return environment.get_template(template).render(**values) + "\n"


def score(value: float | None, digits: int = 4) -> str:
    """A number, or a dash for one that is not known."""
    return "–" if value is None else f"{value:,.{digits}f}"


def signed(value: float) -> str:
    """A difference."""
    return f"{value:+.4f}".replace("-", "−")


def weight_text(weight: float | Sequence[Sequence[float]]) -> str:
    """A weight of a term for people: a number, or points of progress and weight."""
    if isinstance(weight, int | float):
        return f"{weight:g}"
    return ", ".join(f"{value:g} at {moment:.0%}" for moment, value in weight)


def options_text(options: Mapping[str, Any]) -> str:
    """Options of a term for people."""
    return ", ".join(f"{key}={value}" for key, value in options.items())
