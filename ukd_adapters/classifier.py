"""What all adapters share: one Hugging Face classifier, read layer by layer from one forward pass."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ukd_adapters.attention_maps import maps_kept
from ukd_adapters.pooling import pool
from ukd_core import Batch, LayerSource, LayerStates, quiet
from ukd_core.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ukd_core import Options


class ClassifierSource(LayerSource):
    """A `LayerSource` over any classifier of transformers.

    The model gives `hidden_states`, embeddings first, and its configuration says `ukd_pooling`.

    Args:
        model: A classifier.
        tokenizer: Its tokenizer.
        label_names: What it was trained to answer; None while the classifier is random.
        fresh: Whether all weights are random.
    """

    embeddings_available = True

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase,
                 label_names: tuple[str, ...] | None = None, *, fresh: bool = False) -> None:
        super().__init__(model, tokenizer, label_names)
        self.fresh = fresh
        self._accepted = frozenset(inspect.signature(model.forward).parameters)

    @property
    def num_layers(self) -> int:
        """Hidden layers, embeddings not counted."""
        return int(self.model.config.num_hidden_layers)

    @property
    def pooling(self) -> str:
        """How token states become one state: "cls", "mean" or "max"."""
        return str(self.model.config.ukd_pooling)

    def forward(self, batch: Batch, needs: frozenset[str] = frozenset()) -> LayerStates:
        """Run the model once and show its layers; see `LayerSource.forward`.

        Keys that the model does not take (`token_type_ids` of a borrowed tokenizer) are left out. A call that asks for
        "attentions" runs with eager attention, the only kind that keeps its maps, and without dropout in them.
        """
        maps = "attentions" in needs and self.attentions_available
        asked = {"output_attentions": True} if maps else {}
        with maps_kept(self.model) if maps else nullcontext():
            output = self.model(**{key: value for key, value in batch.items() if key in self._accepted},
                                output_hidden_states=True, return_dict=True, **asked)
        layers = tuple(output.hidden_states[1:])
        mask = batch["attention_mask"].bool()
        return LayerStates(
            pooled=tuple(pool(self.pooling, states, mask) for states in layers), logits=output.logits,
            tokens=layers if "tokens" in needs else None, attentions=tuple(output.attentions) if maps else None,
            mask=mask if needs & {"tokens", "attentions", "embeddings"} else None,
            embeddings=output.hidden_states[0] if "embeddings" in needs else None)

    def save(self, folder: str | Path) -> None:
        """Write model and tokenizer so that `from_pretrained` and a `text-classification` pipeline read them."""
        with quiet():
            super().save(folder)


def refuse_set_options(where: str, options: Options, names: frozenset[str], reason: str) -> None:
    """Refuse options that the user gave but that cannot have an effect.

    Raises:
        InputError: one of `names` was set.
    """
    given = sorted(names & options.model_fields_set)
    if given:
        raise InputError(where, f"option '{given[0]}' {reason}", "Leave it out.")


@contextmanager
def weights_from(seed: int) -> Iterator[None]:
    """Draw random weights from `seed`; torch's global CPU generator is as before afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
