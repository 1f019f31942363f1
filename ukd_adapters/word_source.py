"""The shared base of the word models' adapters: vocabulary, embeddings, building and loading."""

from __future__ import annotations

import copy
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import torch
from pydantic import Field

import ukd_core
from ukd_adapters.checkpoint import load_checkpoint, set_space
from ukd_adapters.classifier import ClassifierSource, refuse_set_options, weights_from
from ukd_adapters.embeddings import embedding_table
from ukd_adapters.text import read_words, train_words
from ukd_core.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ukd_adapters.word_model import WordModel, WordModelConfig
    from ukd_core import BuildContext, OutputSpace


class WordOptions(ukd_core.Options):
    """Options of every word model; only `layers`, `dropout`, `pooling` and `train_embeddings` apply to a loaded one."""

    vocabulary: str = Field("words", description="words (of the training texts), teacher (its tokenizer), or the path "
                                                 "of a text file with one word a line")
    vocab_size: int = Field(30_000, ge=5, le=10_000_000, description="Most words, four special tokens included")
    min_count: int | None = Field(None, ge=1, description="Drop rarer words; default 2, or 1 below 1,000 texts")
    lowercase: bool = Field(True, description="Lower-case texts")
    embeddings: str = Field("teacher", description="teacher (mean of its pieces; random without a teacher), random, "
                                                   "fasttext (trained on the texts), or a file .bin .vec .txt .pt")
    embedding_width: int = Field(128, ge=1, le=65_536, description="Width of random and fastText embeddings")
    train_embeddings: bool = Field(True, description="Train the embedding table")
    layers: int | None = Field(None, ge=1, le=1000, description="Layers; loaded: keep only this many lower ones")
    hidden: int = Field(128, ge=1, le=65_536, description="Width of a layer")
    dropout: float | None = Field(None, ge=0.0, lt=1.0, description="Dropout of embeddings, layers and pooled state")
    pooling: Literal["mean", "max"] | None = Field(None, description="State of a text over its words; default mean")


KEPT_ON_LOAD = frozenset({"layers", "dropout", "pooling", "train_embeddings"})


class WordSource(ClassifierSource):
    """A `WordModel` with its word tokenizer; serves as a student and, loaded or tuned, as a teacher."""

    Options = WordOptions
    model_type_class: ClassVar[type[WordModel]]
    config_type: ClassVar[type[WordModelConfig]]
    plain_words: ClassVar[bool] = False
    """Whether texts are split into words in the fastest way, see `ukd_adapters.text`."""

    @classmethod
    @abstractmethod
    def extra_sizes(cls, options: Any) -> dict[str, Any]:
        """Keys of the configuration that only this adapter has."""

    @classmethod
    def build(cls, options: Any, context: BuildContext) -> Self:
        """Make a new model; weights come from `context.seed`, the global generator is left as it was.

        Raises:
            InputError: a vocabulary or embedding file is not usable, or vocabulary=teacher without a teacher.
        """
        tokenizer = _vocabulary(f"adapter '{cls.name}'", options, context, cls.plain_words)
        table = embedding_table(options.embeddings, tokenizer, teacher=context.teacher, texts=context.texts,
                                width=options.embedding_width, seed=context.seed)
        if "embedding_width" in options.model_fields_set and table.shape[1] != options.embedding_width:
            raise InputError(f"adapter '{cls.name}'", f"expected embedding_width={table.shape[1]}, the width of "
                             f"embeddings '{options.embeddings}', got {options.embedding_width}", "Leave it out.")
        config = cls.config_type(vocab_size=table.shape[0], embedding_width=table.shape[1],
                                 hidden_size=options.hidden, pad_token_id=tokenizer.pad_token_id,
                                 **cls._changes(options), **cls.extra_sizes(options))
        if options.layers is not None:
            config.num_hidden_layers = options.layers
        set_space(config, context.space)
        with weights_from(context.seed):
            model = cls.model_type_class(config)
        with torch.no_grad():
            model.get_input_embeddings().weight.copy_(table)
        return cls(model, tokenizer, fresh=True)._frozen_as(options)

    @classmethod
    def load(cls, location: str | Path, options: Any, space: OutputSpace | None = None) -> Self:
        """Read a folder or hub name; see `LayerSource.load`."""
        refuse_set_options(f"model '{location}'", options, frozenset(cls.Options.model_fields) - KEPT_ON_LOAD,
                           "is for new models only")
        checkpoint = load_checkpoint(location, cls.model_types, space, options.layers, cls._changes(options))
        return cls(checkpoint.model, checkpoint.tokenizer, checkpoint.label_names)._frozen_as(options)

    @property
    def widths(self) -> tuple[int, ...]:
        """Width of each layer's states."""
        return (self.model.layer_width(self.model.config),) * self.num_layers

    @property
    def learning_rate(self) -> float:
        """1e-3, fresh or loaded."""
        return 1e-3

    @classmethod
    def _changes(cls, options: WordOptions) -> dict[str, Any]:
        changes = {"dropout": options.dropout, "ukd_pooling": options.pooling}
        return {key: value for key, value in changes.items() if value is not None}

    def _frozen_as(self, options: WordOptions) -> Self:
        self.model.get_input_embeddings().weight.requires_grad_(options.train_embeddings)
        return self


def _vocabulary(where: str, options: WordOptions, context: BuildContext, plain: bool) -> PreTrainedTokenizerBase:
    if options.vocabulary == "teacher":
        if context.teacher is None:
            raise InputError(where, "vocabulary=teacher expected a teacher, got none", "Use vocabulary=words.")
        return copy.deepcopy(context.teacher.tokenizer)
    if options.vocabulary == "words":
        return train_words(context.texts, size=options.vocab_size, min_count=options.min_count,
                           lowercase=options.lowercase, plain=plain)
    return read_words(Path(options.vocabulary), lowercase=options.lowercase, plain=plain)
