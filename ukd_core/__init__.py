"""Universal knowledge distillation for text encoders: any teacher, any student, matched in the output space."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ukd_core.hookspecs import hookimpl

if TYPE_CHECKING:
    from ukd_core.layer_source import Batch, BuildContext, LayerSource, LayerStates, masked_mean
    from ukd_core.method import Method, Phase, TermSpec
    from ukd_core.output_space import OutputSpace
    from ukd_core.precision import at_least_float32, full_precision
    from ukd_core.projector import HeldOut, Projection, Projector, ProjectorSetup, mix
    from ukd_core.pseudo_head import PseudoHead
    from ukd_core.run.distill import distill
    from ukd_core.run.recipe import Recipe
    from ukd_core.silence import quiet
    from ukd_core.spec import Options
    from ukd_core.term import Term, TermInput, TermSetup, TermView

_HOMES = {
    "Batch": "layer_source", "BuildContext": "layer_source", "LayerSource": "layer_source",
    "LayerStates": "layer_source", "masked_mean": "layer_source",
    "Method": "method", "Phase": "method", "TermSpec": "method",
    "OutputSpace": "output_space",
    "at_least_float32": "precision", "full_precision": "precision",
    "HeldOut": "projector", "Projection": "projector", "Projector": "projector", "ProjectorSetup": "projector",
    "mix": "projector",
    "PseudoHead": "pseudo_head",
    "quiet": "silence",
    "distill": "run.distill", "Recipe": "run.recipe",
    "Options": "spec",
    "Term": "term", "TermInput": "term", "TermSetup": "term", "TermView": "term",
}

__all__ = [
    "Batch", "BuildContext", "HeldOut", "LayerSource", "LayerStates", "Method", "Options", "OutputSpace", "Phase",
    "Projection", "Projector", "ProjectorSetup", "PseudoHead", "Recipe", "Term", "TermInput", "TermSetup", "TermSpec",
    "TermView", "at_least_float32", "distill", "full_precision", "hookimpl", "masked_mean", "mix", "quiet",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``ukd --help`` needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ukd_core' has no attribute {name!r}")
    return getattr(import_module(f"ukd_core.{_HOMES[name]}"), name)
