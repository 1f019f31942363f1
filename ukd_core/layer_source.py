"""The contract of an encoder: any model whose layers can be read, as a teacher or as a student."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import torch
from torch import Tensor, nn

from ukd_core import spec
from ukd_core.checks import check_states
from ukd_core.errors import InputError
from ukd_core.formats import MODEL
from ukd_core.precision import full_precision
from ukd_core.ragged import Ragged

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ukd_core.output_space import OutputSpace

Batch = Mapping[str, Tensor]
"""What a tokenizer gives after padding; every tensor has the shape (units, length)."""
LETTERS_AT_ONCE = 1 << 20
"""Of texts that a tokenizer is given together: until it has cut them, it holds hundreds of bytes for each token."""
SHOWABLE = frozenset({"tokens", "attentions", "embeddings"})
"""What `needs` of `LayerSource.forward` may hold: the fields of `LayerStates` that are given only when asked for."""


@dataclass(frozen=True, slots=True)
class LayerStates:
    """What one forward pass shows of a model. Layer 0 is the first hidden layer; embeddings are never a layer."""

    pooled: tuple[Tensor, ...]
    """One state a unit and layer: `num_layers` tensors of shape (units, width_l); padding has no influence."""
    logits: Tensor
    """Scores of the model's own classifier, shape (units, C)."""
    tokens: tuple[Tensor, ...] | None = None
    """Token states, `num_layers` tensors of shape (units, length, width_l); given when `needs` has "tokens"."""
    attentions: tuple[Tensor, ...] | None = None
    """Attention maps, (units, heads, length, length) a layer; given when `needs` has "attentions"."""
    mask: Tensor | None = None
    """True where a token counts, shape (units, length), bool; given with anything that `needs` asked for."""
    embeddings: Tensor | None = None
    """What the first hidden layer reads, shape (units, length, `embedding_width`); given when `needs` has
    "embeddings"."""


@dataclass(frozen=True, slots=True)
class BuildContext:
    """What is known when a new model is built."""

    space: OutputSpace
    texts: Sequence[str]
    """All training texts (both sides of pairs), for vocabularies and word vectors."""
    teacher: LayerSource | None
    """The teacher, for its tokenizer, embeddings or lower layers; None where the teacher itself is built."""
    max_length: int
    """Longest input in tokens."""
    seed: int


class LayerSource(nn.Module, ABC):
    """An encoder with its tokenizer, read layer by layer.

    A source is made by `build` (new weights) or `load` (a folder or hub name), tokenizes for itself, and is called
    once a batch by the teacher pass and by the trainer. It wraps one Hugging Face `PreTrainedModel`, which is what is
    saved and deployed; everything that only distillation needs (pooling) stays outside of its weights.

    Args:
        model: A classifier: a `PreTrainedModel` that gives `logits`.
        tokenizer: Its tokenizer, a fast one.
        label_names: What the classifier was trained to answer, in order; None while it has random weights.
    """

    name: ClassVar[str]
    """The adapter's name on the command line, kebab-case."""
    summary: ClassVar[str] = ""
    """One line for `ukd plugins`."""
    model_types: ClassVar[tuple[str, ...]] = ()
    """The `model_type` values of config.json that this adapter reads."""
    Options: ClassVar[type[spec.Options]]
    """The options that `build` and `load` take."""
    tokens_available: ClassVar[bool] = True
    """Whether `needs` may hold "tokens"."""
    attentions_available: ClassVar[bool] = False
    """Whether `needs` may hold "attentions"."""
    embeddings_available: ClassVar[bool] = False
    """Whether `needs` may hold "embeddings"."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase,
                 label_names: tuple[str, ...] | None = None) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.label_names = label_names

    @classmethod
    @abstractmethod
    def build(cls, options: Any, context: BuildContext) -> Self:
        """Make a new model, with random weights or initialised as the options say. Called once a run.

        Args:
            options: An instance of `cls.Options`.
            context: The task, its texts and the teacher.
        """

    @classmethod
    @abstractmethod
    def load(cls, location: str | Path, options: Any, space: OutputSpace | None = None) -> Self:
        """Read a model from a folder or a hub name. Called once a run, and by `ukd eval` and `ukd predict`.

        Args:
            location: Folder or hub name.
            options: An instance of `cls.Options`.
            space: None to take the checkpoint as it is; else a new, random classifier for this space is put on it.

        Raises:
            InputError: the folder lacks weights or a tokenizer, or belongs to another architecture.
        """

    @property
    @abstractmethod
    def num_layers(self) -> int:
        """Hidden layers, embeddings not counted; at least 1."""

    @property
    @abstractmethod
    def widths(self) -> tuple[int, ...]:
        """Width of the pooled state of each layer; they may differ."""

    @property
    @abstractmethod
    def learning_rate(self) -> float:
        """A good AdamW learning rate for this model as it stands (fresh or pretrained), when the user names none."""

    @abstractmethod
    def forward(self, batch: Batch, needs: frozenset[str] = frozenset()) -> LayerStates:
        """Run the model once and show its layers.

        In evaluation mode several threads may call it at once, so it keeps nothing of a batch in the model.

        Args:
            batch: As `pad` gives it; integer tensors of shape (units, length) on the device of the model.
            needs: Extra things to show: "tokens", "attentions", "embeddings". Attention maps are shares also in
                training: dropout leaves no holes in what is shown.
        """

    def shown(self, batch: Batch, needs: frozenset[str] = frozenset()) -> LayerStates:
        """What `forward` gives, checked; called by the trainer once a step.

        Raises:
            ShapeError: states or scores do not have the units of the batch or the widths that `widths` says.
        """
        states = self(batch, needs)
        check_states(f"adapter '{self.name}'", states, len(next(iter(batch.values()))), self.widths)
        return cast("LayerStates", states)

    @property
    def embedding_width(self) -> int:
        """Width of `LayerStates.embeddings`; that of the first layer unless an adapter says otherwise."""
        return self.widths[0]

    @property
    def max_positions(self) -> int | None:
        """Longest input in tokens that the model can read; None where there is no limit."""
        return None

    @property
    def num_parameters(self) -> int:
        """Weights of the deployed model, each counted once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def input_embeddings(self) -> Tensor | None:
        """The token embedding table, shape (vocabulary, width).

        None where the model has none, or where ids do more than pick rows of it: then nobody copies rows, and no run
        leaves out those that its texts do not read.
        """
        try:
            module = self.model.get_input_embeddings()
        except NotImplementedError:  # what transformers says of a model whose table it does not find
            return None
        weight = getattr(module, "weight", None)
        return weight.detach() if isinstance(weight, Tensor) else None

    def tokenize(self, texts: Sequence[str], pairs: Sequence[str] | None = None, *,
                 max_length: int) -> dict[str, list[list[int]]]:
        """Turn texts into ids, truncated, not padded; an empty text is fine.

        Args:
            texts: One text a unit.
            pairs: The second text of each unit, for tasks on pairs.
            max_length: Longest result in tokens, special tokens included.

        Raises:
            InputError: `max_length` leaves no token for the text.
        """
        limit = min(max_length, self.max_positions or max_length)
        special = self.tokenizer.num_special_tokens_to_add(pair=pairs is not None)
        if limit <= special:
            raise InputError("max_length", f"expected more than the {special} special tokens of adapter '{self.name}', "
                                           f"got {limit}", "Raise --max-length.")
        columns: dict[str, list[list[int]]] = {}
        letters = [len(text) + len(pair) for text, pair in zip(texts, pairs or [""] * len(texts), strict=True)]
        for begin, end in turns(letters, LETTERS_AT_ONCE):
            made = self._tokenized(texts[begin:end], None if pairs is None else pairs[begin:end], limit)
            for key, rows in made.items():
                columns.setdefault(key, []).extend(rows)
        return columns

    def _tokenized(self, texts: Sequence[str], pairs: Sequence[str] | None, limit: int) -> dict[str, list[list[int]]]:
        # A fast tokenizer pairs every piece that it cuts from a first text with every piece of the second: for two long
        # texts and a small limit that takes gigabytes. So pairs are read whole and cut here, by the same rule.
        cut_here = pairs is not None and self.tokenizer.is_fast
        encoded = self.tokenizer(list(texts), list(pairs) if pairs is not None else None, truncation=not cut_here,
                                 max_length=None if cut_here else limit, verbose=False)
        columns = {key: value for key, value in encoded.items() if key in self.tokenizer.model_input_names}
        if cut_here:
            for row, encoding in enumerate(encoded.encodings):
                if len(encoding) > limit:
                    kept = kept_of_pair(encoding.sequence_ids, limit, self.tokenizer.truncation_side)
                    for column in columns.values():
                        column[row] = [column[row][position] for position in kept]
        return columns

    def padding(self) -> dict[str, int]:
        """What stands behind the tokens of a shorter unit, by column of `tokenize`; 0 where a column is not named."""
        return {"input_ids": self.tokenizer.pad_token_id or 0, "token_type_ids": self.tokenizer.pad_token_type_id}

    def padded_length(self, longest: int, multiple: int = 8) -> int:
        """Length of a batch whose longest unit has `longest` tokens: a multiple (steady shapes are faster) that fits.

        Args:
            longest: Tokens of the longest unit.
            multiple: The length is rounded up to it, within what the model can read.
        """
        length = -(-longest // multiple) * multiple
        return length if self.max_positions is None else max(longest, min(length, self.max_positions))

    def pad(self, features: Mapping[str, Sequence[Sequence[int]]], multiple: int = 8) -> dict[str, Tensor]:
        """Put tokenized units into tensors of one length.

        Args:
            features: As `tokenize` gives them, one list a unit.
            multiple: As `padded_length` takes it.

        Returns:
            Tensors of shape (units, length), int64.
        """
        rows = Ragged.of(features)
        length = self.padded_length(int(rows.lengths().max()), multiple)
        return rows.padded(torch.arange(len(rows)), length, self.padding())

    def save(self, folder: str | Path) -> None:
        """Write model and tokenizer so that `from_pretrained` and a `text-classification` pipeline read them."""
        setattr(self.model.config, MODEL.key, MODEL.version)
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def turns(sizes: Sequence[int], most: int) -> Iterator[tuple[int, int]]:
    """Where parts of some things begin and end, in order; a part has one thing at least, however large.

    Args:
        sizes: Of each thing.
        most: Of a part.
    """
    begin = held = 0
    for end, size in enumerate(sizes):
        if held + size > most and end > begin:
            yield begin, end
            begin, held = end, 0
        held += size
    if len(sizes):
        yield begin, len(sizes)


def kept_of_pair(sequences: Sequence[int | None], limit: int, side: str) -> list[int]:
    """Positions of a tokenized text or pair that stay when it is cut to `limit`: the longer text loses first.

    Args:
        sequences: For each token 0 or 1, the text that it comes from, or None for a special token.
        limit: Longest result in tokens.
        side: "right" to cut the ends of the texts, "left" to cut their beginnings.
    """
    positions = [[at for at, sequence in enumerate(sequences) if sequence == text] for text in (0, 1)]
    special = [at for at, sequence in enumerate(sequences) if sequence is None]
    room = limit - len(special)
    short, long = sorted(positions, key=len)
    from_short = min(len(short), room // 2)
    from_long = room - from_short
    if side == "left":
        return sorted([*special, *short[len(short) - from_short:], *long[len(long) - from_long:]])
    return sorted([*special, *short[:from_short], *long[:from_long]])


def masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens that count; zero for a unit without any.

    Args:
        states: Shape (units, length, width), floating.
        mask: Shape (units, length), bool or 0/1.

    Returns:
        Shape (units, width), dtype of `states`.
    """
    weights = mask.to(states.dtype)
    weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1.0)
    with full_precision(states):  # autocast would round the states that a float32 model shows
        # One product of matrices reads the states once and keeps no copy; a product by elements and a sum do not.
        return torch.bmm(weights.unsqueeze(1), states).squeeze(1)
