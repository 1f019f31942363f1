"""The conformance kit: the laws of UKD's interfaces as tests, for your own plug-ins as for ours.

It needs Hypothesis, and pytest for test files (``pip install "ukd[testing]"``). A whole test file for a projector::

    from ukd_core.testing import ProjectorCase, parametrize_with_checks

    @parametrize_with_checks(ProjectorCase("mine", make=lambda setup: MyProjector(setup=setup)))
    def test_projector_keeps_the_laws(case, check):
        check(case)

Every interface has its kind of case; cases of several kinds may be mixed. Without a test file, and without pytest,
``ukd plugins check NAME`` runs the same laws on anything that is registered.

A law that cannot be kept is declared with its reason: in the class attribute ``exceptions``, or for one case in
``expected_failures``. Both are strict: a name that is no check is refused, and a law that is kept after all fails ::

    ProjectorCase("mine", make=…, expected_failures={"check_determinism": "draws its layers anew in every step"})

The names of checks are public: renaming one is a breaking change.
"""

from __future__ import annotations

from ukd_core.testing.checks import TOLERANCES, Case, checks_of, expected_failures, parametrize_with_checks
from ukd_core.testing.default_cases import default_cases
from ukd_core.testing.layer_source import LAYER_SOURCE_CHECKS, LayerSourceCase
from ukd_core.testing.output_space import OUTPUT_SPACE_CHECKS, OutputSpaceCase
from ukd_core.testing.projector import PROJECTOR_CHECKS, ProjectorCase
from ukd_core.testing.pseudo_head import PSEUDO_HEAD_CHECKS, PseudoHeadCase
from ukd_core.testing.run import Outcome, run_case
from ukd_core.testing.term import TERM_CHECKS, TermCase

__all__ = [
    "LAYER_SOURCE_CHECKS", "OUTPUT_SPACE_CHECKS", "PROJECTOR_CHECKS", "PSEUDO_HEAD_CHECKS", "TERM_CHECKS", "TOLERANCES",
    "Case", "LayerSourceCase", "Outcome", "OutputSpaceCase", "ProjectorCase", "PseudoHeadCase", "TermCase",
    "checks_of", "default_cases", "expected_failures", "parametrize_with_checks", "run_case",
]
