"""The shared base of Transformer encoders from Hugging Face: BERT and its relatives."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import torch
from pydantic import Field
from transformers import AutoModelForSequenceClassification

import ukd_core
from ukd_adapters.checkpoint import load_checkpoint, set_space
from ukd_adapters.classifier import ClassifierSource, refuse_set_options, weights_from
from ukd_adapters.pooling import stored_pooling
from ukd_adapters.text import words_of
from ukd_core import quiet
from ukd_core.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from ukd_core import BuildContext, OutputSpace

POSITIONS = 512
"""Longest input of a fresh model in tokens, unless the task's texts are longer."""


class EncoderOptions(ukd_core.Options):
    """Options of every Transformer encoder; None takes the default said in the description."""

    layers: int | None = Field(None, ge=1, le=1000,
                               description="Layers: 4 when fresh, half of the teacher's for teacher-lower, all when "
                                           "loaded (fewer keeps the lower ones)")
    hidden: int | None = Field(None, ge=2, le=65_536, description="Width; 256 when fresh")
    heads: int | None = Field(None, ge=1, le=65_536,
                              description="Attention heads, a divisor of hidden; about hidden / 64")
    intermediate: int | None = Field(None, ge=1, le=1_000_000,
                                     description="Width inside the feed-forward part; 4 times hidden")
    vocab_size: int = Field(8000, ge=300, le=10_000_000,
                            description="Most tokens of a tokenizer trained on the task's texts; setting it "
                                        "trains one even where the teacher's could be used")
    dropout: float | None = Field(None, ge=0.0, lt=1.0, description="Dropout of states and attention maps")
    init: Literal["random", "teacher-lower"] = Field("random", description="teacher-lower copies the teacher's "
                                                                           "embeddings and lower layers")
    pooling: Literal["auto", "cls", "mean"] = Field("auto", description="State of a text: first token or mean; auto: "
                                                                        "what the checkpoint says, else cls")
    freeze_embeddings: bool = Field(False, description="Do not train the word embedding table")


class HuggingFaceEncoder(ClassifierSource):
    """A Transformer encoder with the classifier that transformers puts on it (`AutoModelForSequenceClassification`).

    `build` makes a small fresh model, or one initialised from the lower layers of a teacher of the same adapter.
    Layer k is `hidden_states[k + 1]` of transformers.
    """

    Options = EncoderOptions
    attentions_available = True
    config_type: ClassVar[type[PreTrainedConfig]]
    """Configuration class of a fresh model."""
    config_keys: ClassVar[Mapping[str, str]] = MappingProxyType({
        "layers": "num_hidden_layers", "hidden": "hidden_size", "heads": "num_attention_heads",
        "intermediate": "intermediate_size"})
    """Option -> key of the configuration."""
    dropout_keys: ClassVar[tuple[str, ...]] = ("hidden_dropout_prob", "attention_probs_dropout_prob")

    @classmethod
    @abstractmethod
    def train_tokenizer(cls, texts: Sequence[str], size: int) -> PreTrainedTokenizerBase:
        """Train this family's kind of tokenizer; called by `build` where no tokenizer can be shared."""

    @classmethod
    def reserved_positions(cls, config: PreTrainedConfig) -> int:
        """Rows of the position table that no token can use."""
        return 0

    @classmethod
    def build(cls, options: EncoderOptions, context: BuildContext) -> Self:
        """Make a new model; weights come from `context.seed`, the global generator is left as it was.

        A fresh model shares the teacher's tokenizer where the teacher has the same adapter, else trains one.

        Raises:
            InputError: hidden is no multiple of heads, or teacher-lower without a fitting teacher.
        """
        make = cls._from_teacher if options.init == "teacher-lower" else cls._fresh
        return make(options, context)._frozen_as(options)

    @classmethod
    def load(cls, location: str | Path, options: EncoderOptions, space: OutputSpace | None = None) -> Self:
        """Read a folder or hub name; see `LayerSource.load`. Weights are read as float32."""
        refuse_set_options(f"model '{location}'", options, frozenset({"hidden", "heads", "intermediate", "vocab_size",
                                                                      "init"}), "is for new models only")
        checkpoint = load_checkpoint(location, cls.model_types, space, options.layers, cls._dropout(options))
        config = checkpoint.model.config
        stored = stored_pooling(location) or getattr(config, "ukd_pooling", None) or "cls"
        config.ukd_pooling = stored if options.pooling == "auto" else options.pooling
        return cls(checkpoint.model, checkpoint.tokenizer, checkpoint.label_names)._frozen_as(options)

    @property
    def widths(self) -> tuple[int, ...]:
        """The hidden width, once for each layer."""
        return (int(self.model.config.hidden_size),) * self.num_layers

    @property
    def learning_rate(self) -> float:
        """5e-4; for weights that were pretrained or are a teacher's at most 5e-5 · (768 / width) · √(12 / layers).

        5e-5 is the largest rate with which Devlin et al. (NAACL 2019) fine-tune BERT-base, of that width and depth.
        Smaller encoders want larger ones: Turc et al. 2019, https://arxiv.org/abs/1908.08962, go up to 3e-4. How it
        follows the size is ours.
        """
        of_size = 5e-5 * (768 / self.widths[0]) * math.sqrt(12 / self.num_layers)
        return 5e-4 if self.fresh else min(5e-4, of_size)

    @property
    def max_positions(self) -> int | None:
        """Rows of the position table that tokens can use."""
        config = self.model.config
        return int(config.max_position_embeddings) - self.reserved_positions(config)

    @classmethod
    def _fresh(cls, options: EncoderOptions, context: BuildContext) -> Self:
        tokenizer = cls._tokenizer(options, context)
        hidden = options.hidden or 256
        heads = options.heads or _heads(hidden)
        if hidden % heads:
            raise InputError(f"adapter '{cls.name}'", f"expected hidden to be a multiple of heads, got hidden={hidden} "
                                                      f"and heads={heads}", "Change one of them.")
        sizes = {"layers": options.layers or 4, "hidden": hidden, "heads": heads,
                 "intermediate": options.intermediate or 4 * hidden}
        config = cls.config_type(vocab_size=len(words_of(tokenizer)), pad_token_id=tokenizer.pad_token_id,
                                 bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
                                 **{cls.config_keys[key]: value for key, value in sizes.items()})
        positions = max(POSITIONS, context.max_length)
        config.max_position_embeddings = positions + cls.reserved_positions(config)
        tokenizer.model_max_length = positions
        config.ukd_pooling = "cls" if options.pooling == "auto" else options.pooling
        return cls(cls._new_model(config, options, context), tokenizer, fresh=True)

    @classmethod
    def _from_teacher(cls, options: EncoderOptions, context: BuildContext) -> Self:
        where, teacher = f"adapter '{cls.name}'", context.teacher
        refuse_set_options(where, options, frozenset({"hidden", "heads", "intermediate", "vocab_size"}),
                           "cannot change with init=teacher-lower, which copies the teacher's")
        if not isinstance(teacher, cls):
            found = "no teacher" if teacher is None else f"a teacher of adapter '{teacher.name}'"
            raise InputError(where, f"init=teacher-lower expected a teacher of adapter '{cls.name}', got {found}",
                             "Use init=random, or a student of the teacher's kind.")
        layers = options.layers or max(1, teacher.num_layers // 2)
        if layers > teacher.num_layers:
            raise InputError(where, f"init=teacher-lower expected layers ≤ {teacher.num_layers} (the teacher's), "
                                    f"got {layers}", "Take fewer layers.")
        config = copy.deepcopy(teacher.model.config)
        config.num_hidden_layers = layers
        config.ukd_pooling = teacher.pooling if options.pooling == "auto" else options.pooling
        model = cls._new_model(config, options, context)
        _copy_encoder(teacher.model, model)
        return cls(model, teacher.tokenizer)

    @classmethod
    def _tokenizer(cls, options: EncoderOptions, context: BuildContext) -> PreTrainedTokenizerBase:
        if isinstance(context.teacher, cls) and "vocab_size" not in options.model_fields_set:
            return copy.deepcopy(context.teacher.tokenizer)
        return cls.train_tokenizer(context.texts, options.vocab_size)

    @classmethod
    def _new_model(cls, config: PreTrainedConfig, options: EncoderOptions, context: BuildContext) -> PreTrainedModel:
        set_space(config, context.space)
        for key, value in cls._dropout(options).items():
            setattr(config, key, value)
        with weights_from(context.seed), quiet():
            return AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)

    @classmethod
    def _dropout(cls, options: EncoderOptions) -> dict[str, Any]:
        return {} if options.dropout is None else dict.fromkeys(cls.dropout_keys, options.dropout)

    def _frozen_as(self, options: EncoderOptions) -> Self:
        self.model.get_input_embeddings().weight.requires_grad_(not options.freeze_embeddings)
        return self


def _heads(hidden: int) -> int:
    """The divisor of `hidden` nearest below hidden / 64, as BERT's sizes have it; at least 2 where possible."""
    return next(heads for heads in range(max(2, hidden // 64), 0, -1) if hidden % heads == 0)


def _copy_encoder(teacher: PreTrainedModel, student: PreTrainedModel) -> None:
    """Copy every weight of the student's encoder that the teacher has under the same name and in the same shape."""
    given = teacher.state_dict()
    with torch.no_grad():
        for name, weight in student.state_dict().items():
            source = given.get(name)
            if name.startswith(student.base_model_prefix + ".") and source is not None and source.shape == weight.shape:
                weight.copy_(source)
