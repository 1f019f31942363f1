"""What the word models share: an embedding table, layers, masked pooling and a linear classifier."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import SequenceClassifierOutput

from ukd_adapters.pooling import pool


class WordModelConfig(PreTrainedConfig):  # type: ignore[misc]  # transformers is untyped here
    """Sizes of a word model.

    Args:
        vocab_size: Rows of the embedding table.
        embedding_width: Its width.
        hidden_size: Width of a layer (of each direction, for recurrent ones).
        num_hidden_layers: Layers.
        dropout: Dropout of embeddings, layer outputs and the pooled state.
        ukd_pooling: "mean" or "max" over the tokens that count.
        pad_token_id: Row of the table that stays zero.
        initializer_range: Standard deviation of a new classifier's weights.
        kwargs: As `PreTrainedConfig` takes them.
    """

    def __init__(self, vocab_size: int = 30_000, embedding_width: int = 128, hidden_size: int = 128,
                 num_hidden_layers: int = 2, dropout: float = 0.3, ukd_pooling: str = "mean", pad_token_id: int = 0,
                 initializer_range: float = 0.02, **kwargs: Any) -> None:
        self.vocab_size = vocab_size
        self.embedding_width = embedding_width
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.dropout = dropout
        self.ukd_pooling = ukd_pooling
        self.initializer_range = initializer_range
        super().__init__(pad_token_id=pad_token_id, **kwargs)


class WordEmbeddings(nn.Module):
    """Table, layer normalisation (tables of any scale train alike) and, where the widths differ, a projection.

    Args:
        config: Sizes.
        width: Width of the output.
    """

    def __init__(self, config: WordModelConfig, width: int) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocab_size, config.embedding_width, padding_idx=config.pad_token_id)
        self.norm = nn.LayerNorm(config.embedding_width)
        self.projection = nn.Linear(config.embedding_width, width) if width != config.embedding_width else nn.Identity()

    def forward(self, input_ids: Tensor) -> Tensor:
        """Ids (units, length) to states (units, length, width)."""
        states: Tensor = self.projection(self.norm(self.words(input_ids)))
        return states


class WordEncoder(nn.Module):
    """Embeddings and layers, each called as ``layer(states, mask)``.

    Args:
        embeddings: The bottom.
        layers: One module a layer.
        dropout: Dropout of embeddings and of each layer's output.
    """

    def __init__(self, embeddings: WordEmbeddings, layers: Iterable[nn.Module], dropout: float) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.layers = nn.ModuleList(layers)
        self.dropout = nn.Dropout(dropout)

    def forward(self, input_ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """Embeddings, then every layer's states, each (units, length, width); padded places are zero."""
        keep = mask.unsqueeze(-1)
        states = [self.embeddings(input_ids) * keep]
        for layer in self.layers:
            states.append(layer(self.dropout(states[-1]), mask) * keep)
        return tuple(states)


class WordModel(PreTrainedModel):  # type: ignore[misc]  # transformers is untyped here
    """A classifier over a `WordEncoder`: pooled last layer, dropout, linear map.

    Args:
        config: Sizes.
    """

    base_model_prefix = "encoder"

    def __init__(self, config: WordModelConfig) -> None:
        super().__init__(config)
        self.encoder: Any = self.make_encoder(config)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(self.layer_width(config), config.num_labels)
        self.post_init()

    @staticmethod
    @abstractmethod
    def make_encoder(config: WordModelConfig) -> nn.Module:
        """The layers over `embeddings`, called as a `WordEncoder` is; called once, by the constructor."""

    @staticmethod
    @abstractmethod
    def layer_width(config: WordModelConfig) -> int:
        """Width of each layer's states."""

    def get_input_embeddings(self) -> nn.Embedding:
        """The word table."""
        table: nn.Embedding = self.encoder.embeddings.words
        return table

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the word table."""
        self.encoder.embeddings.words = value

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None,
                output_hidden_states: bool | None = None, return_dict: bool | None = None,
                **kwargs: Any) -> SequenceClassifierOutput | tuple[Any, ...]:
        """Classify texts.

        Args:
            input_ids: Shape (units, length), int64, padded on the right.
            attention_mask: 1 where a token counts, shape (units, length); None where all do.
            labels: As transformers' classifiers take them, for `loss`.
            output_hidden_states: Also give `hidden_states`: the embeddings, then each layer.
            return_dict: False for a tuple.
            kwargs: Inputs of other models (`token_type_ids`); ignored.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        states = self.encoder(input_ids, mask.bool())
        logits = self.classifier(self.dropout(self.pooled(states[-1], mask.bool())))
        loss = None if labels is None else self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        output = SequenceClassifierOutput(loss=loss, logits=logits,
                                          hidden_states=states if output_hidden_states else None)
        return output.to_tuple() if return_dict is False else output

    def pooled(self, states: Tensor, mask: Tensor) -> Tensor:
        """One state a unit, which the classifier reads.

        Args:
            states: Of a layer, shape (units, length, width).
            mask: True where a token counts, shape (units, length), bool.

        Returns:
            Shape (units, width).
        """
        return pool(self.config.ukd_pooling, states, mask)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Draw new weights; called by transformers for every module that no checkpoint filled."""
        if isinstance(module, nn.Embedding):
            init.normal_(module.weight, std=0.1)
            if module.padding_idx is not None and not getattr(module.weight, "_is_hf_initialized", False):
                init.zeros_(module.weight[module.padding_idx])
        elif module is getattr(self, "classifier", None):
            init.normal_(module.weight, std=self.config.initializer_range)
            init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            init.xavier_uniform_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.LSTM):
            for name, weight in module.named_parameters():
                if weight.ndim > 1:
                    bound = module.hidden_size ** -0.5
                    init.uniform_(weight, -bound, bound)
                else:
                    init.zeros_(weight)
                    if name.startswith("bias_ih") and not getattr(weight, "_is_hf_initialized", False):
                        init.ones_(weight[module.hidden_size: 2 * module.hidden_size])  # remember at first
