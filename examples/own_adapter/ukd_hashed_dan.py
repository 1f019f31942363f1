"""A deep averaging network over hashed n-grams of bytes: no words, no attention, no vocabulary to train.

Source: Iyyer et al., Deep Unordered Composition Rivals Syntactic Methods, ACL 2015; hashed n-grams as in Joulin et
al., Bag of Tricks for Efficient Text Classification, EACL 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import Field
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from ukd_core import Batch, BuildContext, LayerSource, LayerStates, Options, OutputSpace, hookimpl, quiet
from ukd_core.errors import InputError

PAD, START, SEPARATOR = "[PAD]", "[CLS]", "[SEP]"
PRIME, BASE = 2**31 - 1, 1_000_003
"""Of the rolling hash; products stay below 2⁶³."""


class HashedDanConfig(PreTrainedConfig):
    """Sizes of the network, kept in config.json."""

    model_type = "hashed-dan"

    def __init__(self, buckets: int = 50_000, embedding_width: int = 64, layer_widths: tuple[int, ...] = (128, 64),
                 longest: int = 4, dropout: float = 0.1, **kwargs: Any) -> None:
        self.buckets = buckets
        self.embedding_width = embedding_width
        self.layer_widths = list(layer_widths)
        self.longest = longest
        self.dropout = dropout
        super().__init__(**kwargs)


class HashedDanForSequenceClassification(PreTrainedModel):
    """The mean of all n-grams, hidden layers over it, a linear classifier."""

    config_class = HashedDanConfig
    base_model_prefix = "encoder"

    def __init__(self, config: HashedDanConfig) -> None:
        super().__init__(config)
        widths = [config.embedding_width, *config.layer_widths]
        self.table = nn.Embedding(config.buckets, config.embedding_width)
        self.norm = nn.LayerNorm(config.embedding_width)
        self.layers = nn.ModuleList(map(nn.Linear, widths, widths[1:]))
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(widths[-1], config.num_labels)
        self.post_init()

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_: Any) -> SequenceClassifierOutput:
        """Classify texts.

        Args:
            input_ids: Shape (units, length), int64, padded on the right.
            attention_mask: 1 where a token counts, shape (units, length).

        Returns:
            `logits` of shape (units, C); `hidden_states`: the mean, then each layer, (units, width).
        """
        keys, shares = ngrams(input_ids, attention_mask.bool(), self.config.longest, self.config.buckets)
        mean = nn.functional.embedding_bag(keys, self.table.weight, mode="sum",
                                           per_sample_weights=shares.to(self.table.weight.dtype))
        states = [self.norm(mean)]
        for layer in self.layers:
            states.append(nn.functional.gelu(layer(self.dropout(states[-1]))))
        return SequenceClassifierOutput(logits=self.classifier(self.dropout(states[-1])), hidden_states=tuple(states))

    def get_input_embeddings(self) -> None:
        """None: the rows of the table are n-grams, not tokens, so nobody may copy them or leave any out."""


def ngrams(ids: Tensor, mask: Tensor, longest: int, buckets: int) -> tuple[Tensor, Tensor]:
    """Bucket and share of every n-gram of 1 to `longest` tokens.

    Args:
        ids: Shape (units, length), int64, padded on the right.
        mask: True where a token counts, shape (units, length), bool.
        longest: Most tokens of an n-gram.
        buckets: Number of buckets.

    Returns:
        Buckets, shape (units, longest · length), int64; and shares, the same shape, float32: equal for all n-grams of a
        unit, 0 for padding, summing to 1.
    """
    hashed, keys, kept = torch.zeros_like(ids), [], []
    for size in range(1, longest + 1):
        before = nn.functional.pad(hashed, (1, 0))[:, :-1]  # the hash of the n-gram that ends one token earlier
        hashed = (before * BASE + ids + size) % PRIME
        keys.append(hashed % buckets)
        kept.append(mask & (torch.arange(ids.shape[1], device=ids.device) >= size - 1))
    counts = torch.cat(kept, dim=1).float()
    return torch.cat(keys, dim=1), counts / counts.sum(dim=1, keepdim=True).clamp(min=1.0)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte of the lower-cased text; every text is readable and nothing is trained."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([PAD, START, SEPARATOR, *alphabet])}
    tokenizer = Tokenizer(models.WordLevel(vocab=vocabulary, unk_token=PAD))  # no byte is unknown
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        pre_tokenizers.Split(Regex("."), behavior="isolated")])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A", pair=f"{START} $A {SEPARATOR} $B",
        special_tokens=[(token, vocabulary[token]) for token in (START, SEPARATOR)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, cls_token=START, sep_token=SEPARATOR,
                                   model_input_names=["input_ids", "attention_mask"])


class HashedDanOptions(Options):
    """Sizes of a new network; a loaded one has its own."""

    buckets: int = Field(50_000, ge=1, description="Rows of the table")
    embedding_width: int = Field(64, ge=1, description="Width of the table")
    layer_widths: tuple[int, ...] = Field((128, 64), min_length=1, description="Width of each layer: [128,64]")
    longest: int = Field(4, ge=1, le=16, description="Most bytes of an n-gram")
    dropout: float = Field(0.1, ge=0.0, lt=1.0, description="Between layers, in training")


class HashedDanLayerSource(LayerSource):
    """The adapter. Its layers are those over the mean; they may differ in width."""

    name = "hashed-dan"
    summary = "deep averaging network over hashed n-grams of bytes"
    model_types = ("hashed-dan",)
    Options = HashedDanOptions
    tokens_available = False  # all words are one mean before the first layer

    @classmethod
    def build(cls, options: HashedDanOptions, context: BuildContext) -> Self:
        """Make a new network; the texts are not needed, because nothing of it is a vocabulary."""
        with torch.random.fork_rng(devices=[]):  # the weights follow the seed alone, and nobody else's numbers change
            torch.default_generator.manual_seed(context.seed)
            model = HashedDanForSequenceClassification(HashedDanConfig(
                **options.model_dump(), num_labels=context.space.size))
        return cls(_labelled(model, context.space), byte_tokenizer())

    @classmethod
    def load(cls, location: str | Path, options: HashedDanOptions, space: OutputSpace | None = None) -> Self:
        """Read a saved network.

        Raises:
            InputError: the folder cannot be read, or an option was given.
        """
        if options.model_fields_set:
            raise InputError(f"model '{location}'", f"option '{min(options.model_fields_set)}' is for new models only",
                             "Leave it out.")
        try:
            with quiet():
                model = HashedDanForSequenceClassification.from_pretrained(location)
                tokenizer = AutoTokenizer.from_pretrained(location, trust_remote_code=False)
        except Exception as error:  # files, JSON, safetensors and the tokenizers each raise their own kinds
            reason = str(error).rstrip(".") or type(error).__name__
            raise InputError(f"model '{location}'", f"could not be read: {reason}", "Save it again.") from error
        if space is not None:
            model.classifier = nn.Linear(model.classifier.in_features, space.size)
            return cls(_labelled(model, space), tokenizer)
        return cls(model, tokenizer, tuple(model.config.id2label[index] for index in range(model.config.num_labels)))

    @property
    def num_layers(self) -> int:
        """Hidden layers; the mean below them is no layer."""
        return len(self.model.layers)

    @property
    def widths(self) -> tuple[int, ...]:
        """Width of each layer."""
        return tuple(self.model.config.layer_widths)

    @property
    def learning_rate(self) -> float:
        """A table of which each step touches few rows learns fast."""
        return 5e-3

    def tokenize(self, texts: Sequence[str], pairs: Sequence[str] | None = None, *,
                 max_length: int) -> dict[str, list[list[int]]]:
        """As every source does, but long texts are cut first: a letter has one byte at least.

        The library keeps every piece that it cuts off, of pairs every combination; there are many pieces of one byte.
        """
        first, second = ([text[:max_length] for text in side] if side is not None else None for side in (texts, pairs))
        return super().tokenize(first or [], second, max_length=max_length)

    def forward(self, batch: Batch, needs: frozenset[str] = frozenset()) -> LayerStates:
        """Run the network once; see `LayerSource.forward`."""
        output = self.model(batch["input_ids"], batch["attention_mask"])
        return LayerStates(pooled=output.hidden_states[1:], logits=output.logits)


def _labelled(model: PreTrainedModel, space: OutputSpace) -> PreTrainedModel:
    model.config.id2label = dict(enumerate(space.labels))
    model.config.label2id = {label: index for index, label in enumerate(space.labels)}
    model.config.problem_type = space.problem_type
    return model


AutoConfig.register(HashedDanConfig.model_type, HashedDanConfig, exist_ok=True)
AutoModelForSequenceClassification.register(HashedDanConfig, HashedDanForSequenceClassification, exist_ok=True)


@hookimpl
def ukd_register_layer_sources() -> list[type[LayerSource]]:
    """Offer the adapter; called once, while plug-ins load."""
    return [HashedDanLayerSource]
