"""The one place where everything in this package is registered."""

from __future__ import annotations

from collections.abc import Iterable

from ukd_core import Method, OutputSpace, Projector, PseudoHead, Term, hookimpl

from .methods.annealing import ANNEALING_KD, CONTINUATION_KD
from .methods.hidden_states import ALP_KD, CKD, PKD, PKD_LAST, RAIL_KD, RAIL_KD_CONCATENATED
from .methods.intermediate_classifiers import DIH, MHKD
from .methods.internal_representations import PID, SID
from .methods.logit_kd import LOGIT_KD
from .methods.none import NONE
from .methods.takd import TAKD
from .methods.tinybert import TINYBERT
from .methods.universal_kd import UNIVERSAL_KD, UNIVERSAL_KD_LOSSES, UNIVERSAL_KD_SINGLE_PHASE, UNIVERSAL_KD_TA
from .output_spaces.classes import ClassesSpace
from .output_spaces.multilabel import MultilabelSpace
from .output_spaces.regression import RegressionSpace
from .projectors.attention import AttentionProjector
from .projectors.ensemble import EnsembleProjector
from .projectors.fixed import FixedProjector
from .projectors.label_confidence import LabelConfidenceProjector
from .projectors.random import RandomProjector
from .projectors.teacher_assistant import TeacherAssistantProjector
from .pseudo_heads.linear import LinearHead
from .terms.annealed_scores import AnnealedScoresTerm
from .terms.attention_map import AttentionMapTerm
from .terms.combined_hidden import CombinedHiddenTerm
from .terms.hard_label import HardLabelTerm
from .terms.hidden import HiddenTerm
from .terms.layer_kd import LayerKDTerm
from .terms.logit_kd import LogitKDTerm
from .terms.pooled_cosine import PooledCosineTerm
from .terms.supervised_layer_kd import SupervisedLayerKDTerm
from .terms.token_embeddings import TokenEmbeddingsTerm
from .terms.token_hidden import TokenHiddenTerm


@hookimpl
def ukd_register_projectors() -> Iterable[type[Projector]]:
    """Mixtures of teacher layers."""
    return [AttentionProjector, FixedProjector, RandomProjector, TeacherAssistantProjector, LabelConfidenceProjector,
            EnsembleProjector]


@hookimpl
def ukd_register_pseudo_heads() -> Iterable[type[PseudoHead]]:
    """Small classifiers on one layer."""
    return [LinearHead]


@hookimpl
def ukd_register_terms() -> Iterable[type[Term]]:
    """Summands of the loss."""
    return [HardLabelTerm, LogitKDTerm, LayerKDTerm, SupervisedLayerKDTerm, HiddenTerm, CombinedHiddenTerm,
            AnnealedScoresTerm, AttentionMapTerm, TokenHiddenTerm, TokenEmbeddingsTerm, PooledCosineTerm]


@hookimpl
def ukd_register_output_spaces() -> Iterable[type[OutputSpace]]:
    """Meanings of a score."""
    return [ClassesSpace, MultilabelSpace, RegressionSpace]


@hookimpl
def ukd_register_methods() -> Iterable[Method]:
    """Presets of phases."""
    return [NONE, LOGIT_KD, UNIVERSAL_KD, UNIVERSAL_KD_SINGLE_PHASE, UNIVERSAL_KD_LOSSES, UNIVERSAL_KD_TA, DIH, MHKD,
            PKD, PKD_LAST, ALP_KD, CKD, RAIL_KD, RAIL_KD_CONCATENATED, ANNEALING_KD, CONTINUATION_KD, TINYBERT,
            PID, SID, TAKD]
