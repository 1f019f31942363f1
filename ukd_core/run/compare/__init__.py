"""Methods side by side: a grid of runs, what they came to, and whether a difference is more than chance."""

from ukd_core.run.compare.grid import Grid
from ukd_core.run.compare.runs import run_grid
from ukd_core.run.compare.speeds import measured_speeds
from ukd_core.run.compare.summary import summarise

__all__ = ["Grid", "measured_speeds", "run_grid", "summarise"]
