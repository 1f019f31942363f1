"""The projector keeps every law of the interface."""

from __future__ import annotations

import numpy as np
from ukd_confidence import ConfidenceOptions, ConfidenceProjector

from ukd_core import ProjectorSetup
from ukd_core.testing import ProjectorCase, parametrize_with_checks


def reference(student: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """The same weights in float64: shapes (S, units, D) and (T, units, D) to (S, T, units)."""
    weights = np.zeros((len(student), len(teacher), student.shape[1]))
    for unit in range(student.shape[1]):
        powers = [np.exp(layer[unit] - layer[unit].max()) for layer in teacher]
        shares = np.exp([4.0 * (power / power.sum()).max() for power in powers])
        weights[:, :, unit] = shares / shares.sum()
    return weights


def sharp(setup: ProjectorSetup) -> ConfidenceProjector:
    """One with an option."""
    return ConfidenceProjector(ConfidenceOptions(sharpness=100), setup)


@parametrize_with_checks(
    ProjectorCase("confidence", make=lambda setup: ConfidenceProjector(setup=setup),
                  reference=reference),
    ProjectorCase("confidence-sharp", make=sharp),
)
def test_projector_keeps_the_laws(case, check):
    """One test for each case and law."""
    check(case)
