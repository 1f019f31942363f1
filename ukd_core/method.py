"""A method is data: named phases of weighted terms."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from ukd_core.spec import Options

Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Moment = Annotated[float, Field(ge=0.0, le=1.0)]


class TermSpec(Options):
    """A term with its weight in a phase."""

    term: str
    weight: Weight | tuple[tuple[Moment, Weight], ...] = 1.0
    """A number, or points [progress of the phase, weight] between which it runs in straight lines, as in
    ``[[0, 0], [0.5, 1]]``; before the first point and after the last it stays. Two points at one moment are a jump."""
    options: dict[str, Any] = Field(default_factory=dict)
    label: str | None = None
    """Its name in the log; the term's own name by default. Needed where a phase has one term twice."""

    @field_validator("weight")
    @classmethod
    def _moments_ascend(cls, weight: Any) -> Any:
        if isinstance(weight, tuple) and (not weight or any(one[0] > other[0] for one, other in pairwise(weight))):
            raise ValueError("expected one point or more, in the order of progress")
        return weight

    @property
    def key(self) -> str:
        """The name in logs."""
        return self.label or self.term

    def weight_at(self, progress: float) -> float:
        """The weight at a moment of the phase, 0 ≤ `progress` < 1."""
        if not isinstance(self.weight, tuple):
            return self.weight
        points = self.weight
        after = next((index for index, point in enumerate(points) if point[0] > progress), len(points))
        if after in (0, len(points)):
            return points[0 if after == 0 else -1][1]
        (begin, low), (end, high) = points[after - 1], points[after]
        return low + (high - low) * (progress - begin) / (end - begin)


class Phase(Options):
    """A stretch of training with its own terms, optimizer and schedule."""

    name: str
    terms: tuple[TermSpec, ...] = Field(min_length=1)
    share: float = Field(default=1.0, gt=0.0, le=1.0)
    """Fraction of the run's training steps."""
    start: Literal["best", "last"] = "best"
    """Which checkpoint it starts from: the best on validation of the phases before, or the last of the phase before."""


class Method(Options):
    """A named preset of phases. All phases together have the share 1."""

    name: str
    summary: str
    source: str
    """Where it comes from: authors, title, venue and year; then where our default departs."""
    checked: str = ""
    """What its loss and its schedule were compared with, and where; for the documentation."""
    phases: tuple[Phase, ...] = Field(min_length=1)
    assistants: int = Field(default=0, ge=0)
    """Models that are put between teacher and student where the recipe names none; see `ukd_core.run.assistants`."""

    def __repr__(self) -> str:
        return f"Method({self.name!r})"
