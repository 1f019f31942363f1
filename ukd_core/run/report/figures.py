"""The figures of a page, each from plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from ukd_core.run.report.svg import (
    BASELINE,
    GRID,
    INK,
    MARKERS,
    OTHER,
    SERIES,
    SOFT,
    STUDENT,
    TEACHER,
    as_svg,
    axes,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROLES = {"teacher": (TEACHER, "s"), "student": (STUDENT, "o"), "baseline": (BASELINE, "D"), "alternative": (OTHER, "^"),
         "reference": (INK, "*")}
"""Colour and marker of a model; the last is the teacher where methods have all other marks."""


@dataclass(frozen=True, slots=True)
class Point:
    """A model by its time and its quality."""

    name: str
    ms: float
    """Median time of one text, milliseconds."""
    score: float
    low: float | None = None
    high: float | None = None
    """Ends of an interval, where there is one."""
    role: str = "student"
    series: int | None = None
    """Place of its method, where methods stand side by side."""
    labelled: bool = True
    """Whether its name stands beside it."""

    @property
    def look(self) -> tuple[str, str]:
        """Colour and marker."""
        if self.series is None:
            return ROLES[self.role]
        return SERIES[self.series % len(SERIES)], MARKERS[self.series % len(MARKERS)]


def front_of(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats: better than everything that is as fast or faster; fastest first."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.ms, -point.score)):
        if not front or point.score > front[-1].score:
            front.append(point)
    return front


def front_figure(points: Sequence[Point], metric: str) -> Markup:
    """Quality against latency, with the front as a line."""
    with style():
        figure, place = axes(3.4)
        front = front_of(points)
        place.step([point.ms for point in front], [point.score for point in front], where="post", color=SOFT,
                   linewidth=1.0, linestyle=(0, (4, 3)))
        for point in points:
            colour, marker = point.look
            if point.low is not None and point.high is not None:
                place.plot([point.ms] * 2, [point.low, point.high], color=colour, linewidth=1.2, alpha=0.7)
            size = (7.0 if point in front else 5.5) + 4.0 * (marker == "*")
            place.plot(point.ms, point.score, marker=marker, color=colour, markersize=size,
                       markerfacecolor=colour if point in front else "none", linestyle="none")
        _time_axis(place, [point.ms for point in points])
        place.set_ylabel(metric)
        _names(place, [point for point in points if point.labelled])
        told = "; ".join(f"{point.name} {point.ms:.2f} ms, {point.score:.4f}" for point in points)
        return as_svg(figure, "front", f"{metric} against the time of one text. {told}. On the front: "
                                       f"{', '.join(point.name for point in front)}.")


def _time_axis(place: Axes, times: Sequence[float]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter
    place.set_xscale("log")
    low, high = min(times) / 1.6, max(times) * 1.6
    place.set_xlim(low, high)
    marks = [digit * 10.0**power for power in range(-3, 6) for digit in (1, 2, 5)]
    inside = [mark for mark in marks if low <= mark <= high]
    place.xaxis.set_major_locator(FixedLocator(inside[::2] if len(inside) > 8 else inside))
    place.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    place.xaxis.set_minor_formatter(NullFormatter())
    place.set_xlabel("median time of one text, ms")


def _names(place: Axes, points: Sequence[Point]) -> None:
    """Write each name above and beside its point, none over another: names are moved up where they would touch."""
    low, high = place.get_ylim()
    place.set_ylim(low, high + 0.08 * (high - low))
    left, right = place.get_xlim()
    step, last = 0.06 * (high - low), None
    for point in sorted(points, key=lambda point: point.score):
        height = point.score + 0.6 * step if last is None else max(point.score + 0.6 * step, last + step)
        last = height
        rightmost = (point.ms / left) > (right / left) ** 0.55
        place.annotate(point.name, (point.ms, point.score), (point.ms * (0.9 if rightmost else 1.11), height),
                       ha="right" if rightmost else "left", va="center", fontsize=9, color=INK)


@dataclass(frozen=True, slots=True)
class Curve:
    """One quantity over the steps of a run."""

    title: str
    steps: Sequence[float]
    values: Sequence[float]
    reference: float | None = None
    """A height to compare with: the teacher's score."""


def curve_figure(curve: Curve, number: int, phases: Sequence[tuple[float, str]], end: float) -> Markup:
    """A curve over the whole run.

    Args:
        curve: What is shown.
        number: Of the curve within the page.
        phases: The steps where phases begin, with their names.
        end: The last step of the run.
    """
    with style():
        figure, place = axes(2.5)
        place.plot(curve.steps, curve.values, color=STUDENT, marker="o" if len(curve.steps) < 30 else "",
                   markersize=3.5)
        if curve.reference is not None:
            place.axhline(curve.reference, color=TEACHER, linewidth=1.2, linestyle=(0, (4, 3)))
        for begin, name in phases:
            if begin > 0:
                place.axvline(begin, color=SOFT, linewidth=0.8)
            place.annotate(name, (begin, 1.0), (3, -2), xycoords=("data", "axes fraction"), va="top", fontsize=8.5,
                           textcoords="offset points", color=SOFT).set_in_layout(False)
        place.set_xlim(0.0, end * 1.02)
        place.margins(y=0.18)
        place.set_title(curve.title)
        place.set_xlabel("training step")
        ends = f"from {curve.values[0]:.4g} at step {curve.steps[0]:g} to {curve.values[-1]:.4g} at {curve.steps[-1]:g}"
        return as_svg(figure, f"curve{number}", f"{curve.title}: {ends}.")


def layer_figure(teacher: Sequence[float | None], student: Sequence[tuple[str, Sequence[float]]], metric: str,
                 number: int) -> Markup:
    """Scores by layer: of the teacher's pseudo heads, and of the student's at some moments, the last one last."""
    with style():
        figure, place = axes(3.0)
        known = [(layer, score) for layer, score in enumerate(teacher) if score is not None]
        place.plot(*zip(*known, strict=True) if known else ([], []), color=TEACHER, marker="s", markersize=5)
        for index, (_, scores) in enumerate(student):
            last = index == len(student) - 1
            place.plot(range(len(scores)), scores, color=STUDENT, marker="o", markersize=5,
                       alpha=1.0 if last else 0.45, linestyle="-" if last else ":")
        place.set_xticks(range(max([len(teacher), *(len(scores) for _, scores in student)])))
        place.set_xlabel("layer, 0 is the first hidden one")
        place.set_ylabel(metric)
        told = [f"teacher {_listed(teacher)}", *(f"student {name} {_listed(scores)}" for name, scores in student)]
        return as_svg(figure, f"layers{number}", f"{metric} of the pseudo head of each layer: {'; '.join(told)}.")


def _listed(scores: Sequence[float | None]) -> str:
    return ", ".join("-" if score is None else f"{score:.3f}" for score in scores)


def reliability_figure(sides: Sequence[tuple[str, Sequence[tuple[float, float, int]]]]) -> Markup:
    """How often answers are right by how sure they are; for each side its bins (confidence, share right, rows)."""
    with style():
        figure, place = axes(3.4)
        place.plot([0, 1], [0, 1], color=SOFT, linewidth=1.0, linestyle=(0, (4, 3)))
        for role, bins in sides:
            colour, marker = ROLES[role]
            rows = sum(count for _, _, count in bins)
            place.plot([sure for sure, _, _ in bins], [right for _, right, _ in bins], color=colour, linewidth=1.2)
            place.scatter([sure for sure, _, _ in bins], [right for _, right, _ in bins], marker=marker, color=colour,
                          s=[12 + 160 * count / rows for _, _, count in bins], alpha=0.85, linewidths=0)
        place.set_xlim(-0.02, 1.02)
        place.set_ylim(-0.02, 1.02)
        place.set_xlabel("how sure (mean probability of the answer)")
        place.set_ylabel("how often right")
        told = "; ".join(f"{role}: " + ", ".join(f"sure {sure:.2f}, right {right:.2f}, {count} rows"
                                                 for sure, right, count in bins) for role, bins in sides)
        return as_svg(figure, "reliability", f"Reliability diagram. {told}.")


@dataclass(frozen=True, slots=True)
class Bar:
    """A difference with its interval."""

    name: str
    mean: float
    low: float
    high: float
    word: str


def interval_figure(bars: Sequence[Bar], name: str, against: str, metric: str) -> Markup:
    """Differences as dots with intervals, one below the other, and what each says in a word."""
    with style():
        figure, place = axes(0.9 + 0.34 * len(bars), long_names=True)
        place.axvline(0.0, color=INK, linewidth=1.0)
        for row, bar in enumerate(bars):
            colour = {"helped": OTHER, "within noise": SOFT}.get(bar.word, STUDENT)
            place.plot([bar.low, bar.high], [row, row], color=colour, linewidth=2.2, solid_capstyle="butt")
            place.plot(bar.mean, row, marker="o", color=colour, markersize=7)
            place.annotate(bar.word, (1.0, row), (4, 0), xycoords=("axes fraction", "data"),
                           textcoords="offset points", va="center", fontsize=9, color=INK)
        place.set_yticks(range(len(bars)), [bar.name for bar in bars])
        place.tick_params(axis="y", labelcolor=INK)
        place.set_ylim(len(bars) - 0.4, -0.6)
        place.grid(axis="y", visible=False)
        place.spines["left"].set_visible(False)
        place.spines["bottom"].set_color(GRID)
        place.xaxis.set_major_formatter(lambda value, _: f"{value:+g}".replace("-", "−") if value else "0")
        place.locator_params(axis="x", nbins=5)
        place.set_xlabel(f"{metric} over {against}, 95 % interval")
        told = "; ".join(f"{bar.name} {bar.mean:+.4f} [{bar.low:+.4f}, {bar.high:+.4f}], {bar.word}" for bar in bars)
        return as_svg(figure, name, f"Differences in {metric} from {against}: {told}.")
