"""The complete extension surface: six hooks that return classes or presets, called once while plug-ins load.

A plug-in is a module (or object) with functions marked by `hookimpl`, found through the entry-point group ``ukd``,
``--plugin MODULE`` or ``--plugin-folder FOLDER``::

    from ukd_core import hookimpl

    @hookimpl
    def ukd_register_projectors():
        return [MyProjector]
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from ukd_core.layer_source import LayerSource
    from ukd_core.method import Method
    from ukd_core.output_space import OutputSpace
    from ukd_core.projector import Projector
    from ukd_core.pseudo_head import PseudoHead
    from ukd_core.term import Term

GROUP = "ukd"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def ukd_register_layer_sources() -> Iterable[type[LayerSource]]:  # type: ignore[empty-body]
    """Offer encoders, as teachers and as students."""


@hookspec
def ukd_register_pseudo_heads() -> Iterable[type[PseudoHead]]:  # type: ignore[empty-body]
    """Offer heads that turn a pooled state into scores."""


@hookspec
def ukd_register_projectors() -> Iterable[type[Projector]]:  # type: ignore[empty-body]
    """Offer projectors, which mix teacher layers for each student layer."""


@hookspec
def ukd_register_terms() -> Iterable[type[Term]]:  # type: ignore[empty-body]
    """Offer summands of the loss."""


@hookspec
def ukd_register_output_spaces() -> Iterable[type[OutputSpace]]:  # type: ignore[empty-body]
    """Offer meanings of a score."""


@hookspec
def ukd_register_methods() -> Iterable[Method]:  # type: ignore[empty-body]
    """Offer presets of phases."""
