"""The plug-in of the shipped encoders; a stranger's adapter registers in the same way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ukd_adapters import (
    BagLayerSource,
    BertLayerSource,
    BiLSTMLayerSource,
    CNNLayerSource,
    DistilBertLayerSource,
    MPNetLayerSource,
    RobertaLayerSource,
)
from ukd_core import hookimpl

if TYPE_CHECKING:
    from ukd_core import LayerSource


@hookimpl
def ukd_register_layer_sources() -> Iterable[type[LayerSource]]:
    """Offer the seven adapters."""
    return [BagLayerSource, BertLayerSource, BiLSTMLayerSource, CNNLayerSource, DistilBertLayerSource,
            MPNetLayerSource, RobertaLayerSource]
