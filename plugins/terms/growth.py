"""How large the teacher's scores are at a moment of a phase, where they grow while it runs."""

from __future__ import annotations


def growth(fraction: float, temperatures: int) -> float:
    """φ = 1 − (T − 1)/T_max, where T begins at T_max and falls by one after each 1/T_max of the phase.

    Args:
        fraction: Progress of the phase, 0 ≤ fraction < 1.
        temperatures: T_max, at least 1; 1 gives φ = 1 throughout.
    """
    return (1 + min(int(fraction * temperatures + 1e-9), temperatures - 1)) / temperatures
