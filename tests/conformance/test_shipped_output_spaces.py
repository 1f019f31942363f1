"""Every output space that ships keeps the laws of its interface, and agrees with the float64 oracles."""

from __future__ import annotations

import numpy as np
from ukd_plugins.output_spaces.classes import ClassesSpace
from ukd_plugins.output_spaces.multilabel import MultilabelSpace
from ukd_plugins.output_spaces.regression import RegressionSpace

from ukd_core.testing import OutputSpaceCase, oracles, parametrize_with_checks

CASES = [
    OutputSpaceCase("classes", ClassesSpace, divergence=oracles.kl_divergence, label_loss=oracles.cross_entropy),
    OutputSpaceCase("multilabel", MultilabelSpace, divergence=oracles.bernoulli_divergence,
                    label_loss=oracles.binary_cross_entropy),
    OutputSpaceCase("regression", RegressionSpace, divergence=oracles.squared_error,
                    label_loss=lambda scores, label: oracles.squared_error(scores, np.atleast_1d(label))),
]


@parametrize_with_checks(*CASES)
def test_shipped_output_spaces_keep_the_laws(case, check):
    check(case)


def test_everything_that_ships_is_among_them(registry):
    catalogue = registry.output_spaces
    shipped = {kind for name, kind in catalogue.items() if catalogue.origin(name).distribution == "ukd"}
    assert shipped == {case.kind for case in CASES}
