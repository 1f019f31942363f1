"""What a run would do, tried with one batch on the CPU before anything heavy; see `preflight`."""

from __future__ import annotations

from ukd_core.run.preflight.report import Preflight, examine, preflight

__all__ = ["Preflight", "examine", "preflight"]
