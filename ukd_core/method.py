"""A method is data: named phases of weighted terms."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ukd_core.spec import Options


class TermSpec(Options):
    """A term with its weight in a phase."""

    term: str
    weight: float = Field(default=1.0, ge=0.0)
    options: dict[str, Any] = Field(default_factory=dict)
    label: str | None = None
    """Its name in the log; the term's own name by default. Needed where a phase has one term twice."""

    @property
    def key(self) -> str:
        """The name in logs."""
        return self.label or self.term


class Phase(Options):
    """A stretch of training with its own terms, optimizer and schedule."""

    name: str
    terms: tuple[TermSpec, ...] = Field(min_length=1)
    share: float = Field(default=1.0, gt=0.0, le=1.0)
    """Fraction of the run's training steps."""
    start: Literal["best", "last"] = "best"
    """Which checkpoint of the phase before it starts from: the best on validation, or the last."""


class Method(Options):
    """A named preset of phases. All phases together have the share 1."""

    name: str
    summary: str
    source: str
    """Where it comes from: authors, title, venue and year; then where our default departs."""
    phases: tuple[Phase, ...] = Field(min_length=1)
