"""The conformance kit: the laws of UKD's interfaces as tests, for your own plug-ins as for ours.

It needs Hypothesis and pytest (``pip install "ukd[testing]"``). A whole test file for a projector::

    from ukd_core.testing import ProjectorCase, parametrize_with_checks

    @parametrize_with_checks(ProjectorCase("mine", make=lambda setup: MyProjector(setup=setup)))
    def test_projector_keeps_the_laws(case, check):
        check(case)
"""

from __future__ import annotations

from ukd_core.testing.projector import PROJECTOR_CHECKS, ProjectorCase, parametrize_with_checks

__all__ = ["PROJECTOR_CHECKS", "ProjectorCase", "parametrize_with_checks"]
