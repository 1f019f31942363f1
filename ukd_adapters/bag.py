"""A bag of words: mean (or maximum) of word embeddings, then a small network; no order, no attention, very fast.

Source: Shen et al., Baseline Needs More Love: On Simple Word-Embedding-Based Models, ACL 2018,
https://aclanthology.org/P18-1041; hashed n-grams as in Joulin et al., Bag of Tricks for Efficient Text Classification,
EACL 2017, https://aclanthology.org/E17-2068.
"""

from __future__ import annotations

from typing import Any, final

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForSequenceClassification

from ukd_adapters.pooling import pool
from ukd_adapters.word_model import WordModel, WordModelConfig
from ukd_adapters.word_source import WordOptions, WordSource
from ukd_core import Batch, LayerStates

PRIME, BASE = 2**31 - 1, 1_000_003
"""Of the rolling hash; products stay below 2⁶³."""


@final
class BagConfig(WordModelConfig):
    """Sizes of a bag.

    Args:
        ngrams: Most words of an n-gram; 1 for words alone.
        buckets: Rows of the table of longer n-grams.
        num_hidden_layers: Layers over the pooled words.
        kwargs: As `WordModelConfig` takes them.
    """

    model_type = "ukd-bag"

    def __init__(self, ngrams: int = 1, buckets: int = 100_000, num_hidden_layers: int = 1, **kwargs: Any) -> None:
        self.ngrams = ngrams
        self.buckets = buckets
        super().__init__(num_hidden_layers=num_hidden_layers, **kwargs)


class NumberedEmbedding(nn.Embedding):
    """A table whose row numbers have a meaning of their own, here in hashes: no training may renumber them.

    Rows that no text reads are left out while a model is trained, but only of plain `nn.Embedding` tables.
    """


class BagEmbeddings(nn.Module):
    """The word table, and one of hashed n-grams where there are any.

    Args:
        config: Sizes.
    """

    def __init__(self, config: BagConfig) -> None:
        super().__init__()
        table = nn.Embedding if config.ngrams == 1 else NumberedEmbedding
        self.words = table(config.vocab_size, config.embedding_width, padding_idx=config.pad_token_id)
        self.longest = config.ngrams
        self.phrases = nn.Embedding(config.buckets, config.embedding_width) if config.ngrams > 1 else None

    def forward(self, input_ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of all words and n-grams of a text.

        Args:
            input_ids: Shape (units, length), int64.
            mask: True where a token counts, shape (units, length), bool; each row's tokens come before its padding.

        Returns:
            States, shape (units, ngrams · length, width); and which of them count, bool, the same shape without width.
        """
        words = self.words(input_ids)
        if self.phrases is None:
            return words, mask
        states, kept, keys = [words], [mask], input_ids
        for size in range(2, self.longest + 1):
            before = functional.pad(keys, (1, 0))[:, :-1]  # the n-gram that ends one word earlier
            keys = torch.remainder(before * BASE + input_ids + size, PRIME)
            states.append(self.phrases(torch.remainder(keys, self.phrases.num_embeddings)))
            kept.append(mask & (torch.arange(mask.shape[1], device=mask.device) >= size - 1))
        return torch.cat(states, dim=1), torch.cat(kept, dim=1)


class BagEncoder(nn.Module):
    """Pooled embeddings, normalised (tables of any scale train alike), and layers h = gelu(W · dropout(x) + b).

    Args:
        config: Sizes.
    """

    def __init__(self, config: BagConfig) -> None:
        super().__init__()
        widths = [config.embedding_width] + [config.hidden_size] * config.num_hidden_layers
        self.pooling = config.ukd_pooling
        self.embeddings = BagEmbeddings(config)
        self.norm = nn.LayerNorm(config.embedding_width)
        self.layers = nn.ModuleList(map(nn.Linear, widths, widths[1:]))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, input_ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """The pooled embeddings, then the states of each layer: (units, width) each.

        Args:
            input_ids: Shape (units, length), int64.
            mask: True where a token counts, shape (units, length), bool.
        """
        words, counts = self.embeddings(input_ids, mask)
        pooled = pool(self.pooling, words, counts)
        states = [self.norm(pooled)]
        for layer in self.layers:
            states.append(functional.gelu(layer(self.dropout(states[-1]))))
        return tuple(states)


@final
class BagForSequenceClassification(WordModel):
    """A bag-of-words classifier that `AutoModelForSequenceClassification` and pipelines know."""

    config_class = BagConfig

    @staticmethod
    def make_encoder(config: WordModelConfig) -> BagEncoder:
        """Layers over pooled words."""
        return BagEncoder(config)

    @staticmethod
    def layer_width(config: WordModelConfig) -> int:
        """The width of a layer."""
        return int(config.hidden_size)

    def pooled(self, states: Tensor, mask: Tensor) -> Tensor:
        """The states themselves: they are pooled below the first layer. Shape (units, width), kept."""
        return states


class BagOptions(WordOptions):
    """Options of the adapter `bag`."""

    ngrams: int = Field(1, ge=1, le=5, description="Most words of an n-gram; longer ones than 1 are hashed")
    buckets: int = Field(100_000, ge=1, le=100_000_000, description="Rows of the table of n-grams")


@final
class BagLayerSource(WordSource):
    """The adapter `bag`; one layer of 128 unless the options say otherwise."""

    name = "bag"
    summary = "bag of words or the teacher's pieces, n-grams if wanted: the fastest"
    model_types = ("ukd-bag",)
    model_type_class = BagForSequenceClassification
    config_type = BagConfig
    Options = BagOptions
    plain_words = True  # most of the time goes into splitting texts
    tokens_available = False  # all words are one state before the first layer
    embeddings_available = False

    @classmethod
    def extra_sizes(cls, options: Any) -> dict[str, Any]:
        """The n-grams."""
        return {"ngrams": options.ngrams, "buckets": options.buckets}

    @property
    def learning_rate(self) -> float:
        """5e-3, fresh or loaded: each step touches few rows of the table, which learn fast."""
        return 5e-3

    def forward(self, batch: Batch, needs: frozenset[str] = frozenset()) -> LayerStates:
        """Run the network once; see `LayerSource.forward`."""
        output = self.model(batch["input_ids"], batch["attention_mask"], output_hidden_states=True)
        return LayerStates(pooled=tuple(output.hidden_states[1:]), logits=output.logits)


AutoConfig.register(BagConfig.model_type, BagConfig, exist_ok=True)
AutoModelForSequenceClassification.register(BagConfig, BagForSequenceClassification, exist_ok=True)
