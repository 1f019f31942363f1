"""The one place where everything in this package is registered."""

from __future__ import annotations

from collections.abc import Iterable

from ukd_plugins.methods.logit_kd import LOGIT_KD
from ukd_plugins.methods.none import NONE
from ukd_plugins.methods.universal_kd import UNIVERSAL_KD, UNIVERSAL_KD_SINGLE_PHASE, UNIVERSAL_KD_TA
from ukd_plugins.output_spaces.classes import ClassesSpace
from ukd_plugins.output_spaces.multilabel import MultilabelSpace
from ukd_plugins.output_spaces.regression import RegressionSpace
from ukd_plugins.projectors.attention import AttentionProjector
from ukd_plugins.projectors.fixed import FixedProjector
from ukd_plugins.projectors.teacher_assistant import TeacherAssistantProjector
from ukd_plugins.pseudo_heads.linear import LinearHead
from ukd_plugins.terms.hard_label import HardLabelTerm
from ukd_plugins.terms.layer_kd import LayerKDTerm
from ukd_plugins.terms.logit_kd import LogitKDTerm

from ukd_core import Method, OutputSpace, Projector, PseudoHead, Term, hookimpl


@hookimpl
def ukd_register_projectors() -> Iterable[type[Projector]]:
    """Mixtures of teacher layers."""
    return [AttentionProjector, FixedProjector, TeacherAssistantProjector]


@hookimpl
def ukd_register_pseudo_heads() -> Iterable[type[PseudoHead]]:
    """Small classifiers on one layer."""
    return [LinearHead]


@hookimpl
def ukd_register_terms() -> Iterable[type[Term]]:
    """Summands of the loss."""
    return [HardLabelTerm, LogitKDTerm, LayerKDTerm]


@hookimpl
def ukd_register_output_spaces() -> Iterable[type[OutputSpace]]:
    """Meanings of a score."""
    return [ClassesSpace, MultilabelSpace, RegressionSpace]


@hookimpl
def ukd_register_methods() -> Iterable[Method]:
    """Presets of phases."""
    return [NONE, LOGIT_KD, UNIVERSAL_KD, UNIVERSAL_KD_SINGLE_PHASE, UNIVERSAL_KD_TA]
