"""Building, loading and asking the layer sources that are checked."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ukd_core.layer_source import BuildContext, LayerSource, LayerStates
from ukd_core.output_space import OutputSpace
from ukd_core.testing.checks import repeatable
from ukd_core.testing.parts import installed, small_space
from ukd_core.testing.texts import SENTENCES

if TYPE_CHECKING:
    from ukd_core.testing.layer_source import LayerSourceCase


@lru_cache(maxsize=4)
def space_of(case: LayerSourceCase) -> OutputSpace:
    """The output space that models are built for: three classes."""
    return small_space((case.registry or installed()).output_spaces.lookup("classes"))


def context_of(case: LayerSourceCase, seed: int = 0, teacher: LayerSource | None = None) -> BuildContext:
    """What a model is built from."""
    return BuildContext(space=space_of(case), texts=list(SENTENCES), teacher=teacher, max_length=case.max_length,
                        seed=seed)


def built(case: LayerSourceCase, *, seed: int = 0, teacher: LayerSource | None = None) -> LayerSource:
    """A new model in evaluation mode."""
    return case.kind.build(case.kind.Options(**case.options), context_of(case, seed, teacher)).eval()


@lru_cache(maxsize=2)
def shared(case: LayerSourceCase) -> LayerSource:
    """A model for all examples of the laws that only read."""
    return built(case)


def loaded(case: LayerSourceCase, folder: str | Path, space: OutputSpace | None = None) -> LayerSource:
    """A saved model in evaluation mode."""
    return case.kind.load(folder, case.kind.Options(**case.load_options), space).eval()


def answer(case: LayerSourceCase, source: LayerSource, texts: Sequence[str], pairs: Sequence[str] | None = None, *,
           needs: Sequence[str] = (), multiple: int = 8) -> LayerStates:
    """What a model shows of some texts, without gradients."""
    device = next(source.parameters()).device
    batch = source.pad(source.tokenize(texts, pairs, max_length=case.max_length), multiple)
    with repeatable(case), torch.no_grad():
        states: LayerStates = source({key: tensor.to(device) for key, tensor in batch.items()}, frozenset(needs))
    return states


def stacks(states: LayerStates) -> Iterator[tuple[str, Tensor]]:
    """The logits and every layer's pooled states, each with its name."""
    yield "logits", states.logits
    for layer, pooled in enumerate(states.pooled):
        yield f"pooled[{layer}]", pooled


def model_output(case: LayerSourceCase, source: LayerSource, texts: Sequence[str]) -> tuple[Any, dict[str, Tensor]]:
    """What the wrapped model itself answers, asked for its hidden states where it takes the question; and the batch."""
    batch = source.pad(source.tokenize(texts, max_length=case.max_length))
    parameters = inspect.signature(source.model.forward).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    inputs: dict[str, Any] = {key: tensor for key, tensor in batch.items() if open_ended or key in parameters}
    if open_ended or "output_hidden_states" in parameters:
        inputs["output_hidden_states"] = True
    with torch.no_grad():
        return source.model(**inputs), batch


def weights(source: LayerSource) -> dict[str, Tensor]:
    """All weights and buffers by name."""
    return dict(source.state_dict())
