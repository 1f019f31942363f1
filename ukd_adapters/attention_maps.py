"""Attention maps of models of transformers, as they are before dropout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@contextmanager
def maps_kept(model: PreTrainedModel) -> Iterator[None]:
    """Within the context a model keeps its attention maps whole, for `output_attentions`; then it is as before.

    Only eager attention keeps maps, and what transformers gives has gone through dropout: a map with holes is no
    distribution, and comparing it with another compares the holes. So dropout of maps is off while they are shown; all
    other dropout stays. What a call gives thus never depends on the calls before, as a resumed run needs it.

    Args:
        model: An encoder whose attention is in modules that are called ``...SelfAttention``, as in BERT's relatives.
    """
    before = model.config._attn_implementation
    dropouts = [part for module in model.modules() if type(module).__name__.endswith("SelfAttention")
                for part in module.modules() if isinstance(part, nn.Dropout)]
    rates = [dropout.p for dropout in dropouts]
    if before != "eager":
        model.set_attn_implementation("eager")
    for dropout in dropouts:
        dropout.p = 0.0
    try:
        yield
    finally:
        for dropout, rate in zip(dropouts, rates, strict=True):
            dropout.p = rate
        if before != "eager":
            model.set_attn_implementation(before)
