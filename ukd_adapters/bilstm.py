"""A stacked bidirectional LSTM: Hochreiter and Schmidhuber 1997; Graves and Schmidhuber 2005."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from ukd_adapters.word_model import WordEmbeddings, WordEncoder, WordModel, WordModelConfig
from ukd_adapters.word_source import WordSource


@final
class BiLSTMConfig(WordModelConfig):
    """Sizes of a BiLSTM; `hidden_size` is that of each direction.

    Args:
        kwargs: As `WordModelConfig` takes them.
    """

    model_type = "ukd-bilstm"

    # transformers writes a constructor that skips the parent's for every configuration class without its own.
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class BiLSTMLayer(nn.Module):
    """Two LSTMs over the same input, one reading each row's tokens in order, one from the last token to the first.

    The backward one is given every row's tokens reversed in place, so padding stays behind them and cannot be read;
    two plain LSTMs are faster on the CPU than one over packed sequences.

    Args:
        width: Width of the input.
        hidden: Width of each direction.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.ahead = nn.LSTM(width, hidden, batch_first=True)
        self.back = nn.LSTM(width, hidden, batch_first=True)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """States (units, length, width) to (units, length, 2 · hidden), forward direction first.

        Args:
            states: Shape (units, length, width).
            mask: True where a token counts, shape (units, length), bool; each row's tokens come before its padding.
        """
        if torch.onnx.is_in_onnx_export():
            return onnx_lstm((self.ahead, self.back), states, mask)
        order = reversal(mask)
        ahead, _ = self.ahead(states)
        back, _ = self.back(reordered(states, order))
        return torch.cat([ahead, reordered(back, order)], dim=-1)


def onnx_lstm(directions: tuple[nn.LSTM, nn.LSTM], states: Tensor, mask: Tensor) -> Tensor:
    """The layer as the one ONNX operator that reads both ways and knows where each row ends; for the exporter alone.

    Source: https://onnx.ai/onnx/operators/onnx__LSTM.html. Its gates are ordered input, output, forget, cell; torch's
    input, forget, cell, output. Traced as torch has it, a layer is unrolled to the length of the example.

    Args:
        directions: The forward and the backward part.
        states: Shape (units, length, width).
        mask: True where a token counts, shape (units, length), bool.

    Returns:
        Shape (units, length, 2 · hidden); zero behind each row.
    """
    def gates(name: str) -> Tensor:
        parts = [getattr(part, name).chunk(4) for part in directions]
        return torch.stack([torch.cat([given, out, forget, cell]) for given, forget, cell, out in parts])

    units, length, hidden = *states.shape[:2], directions[0].hidden_size
    biases = torch.cat([gates("bias_ih_l0"), gates("bias_hh_l0")], dim=1)
    found = torch.onnx.ops.symbolic(
        "LSTM", (states.transpose(0, 1), gates("weight_ih_l0"), gates("weight_hh_l0"), biases,
                 mask.sum(dim=1).to(torch.int32)),
        {"hidden_size": hidden, "direction": "bidirectional"}, dtype=states.dtype, shape=(length, 2, units, hidden))
    return found.permute(2, 0, 1, 3).reshape(units, length, 2 * hidden)


def reversal(mask: Tensor) -> Tensor:
    """Positions that reverse the tokens of each row and leave its padding: shape (units, length), int64."""
    lengths = mask.sum(dim=1, keepdim=True)
    positions = torch.arange(mask.shape[1], device=mask.device).unsqueeze(0)
    return torch.where(positions < lengths, lengths - 1 - positions, positions)


def reordered(states: Tensor, order: Tensor) -> Tensor:
    """``states[u, order[u, i]]`` for every unit u and place i.

    Args:
        states: Shape (units, length, width).
        order: Shape (units, length), int64.

    Returns:
        Shape (units, length, width).
    """
    return states.gather(1, order.unsqueeze(-1).expand(-1, -1, states.shape[-1]))


@final
class BiLSTMForSequenceClassification(WordModel):
    """A BiLSTM classifier that `AutoModelForSequenceClassification` and pipelines know."""

    config_class = BiLSTMConfig

    @staticmethod
    def make_encoder(config: WordModelConfig) -> WordEncoder:
        """The first layer reads the embeddings at their own width."""
        widths = [config.embedding_width] + [2 * config.hidden_size] * (config.num_hidden_layers - 1)
        return WordEncoder(WordEmbeddings(config, config.embedding_width),
                           (BiLSTMLayer(width, config.hidden_size) for width in widths), config.dropout)

    @staticmethod
    def layer_width(config: WordModelConfig) -> int:
        """Both directions, side by side."""
        return 2 * int(config.hidden_size)


@final
class BiLSTMLayerSource(WordSource):
    """The adapter `bilstm`; 2 layers of 128 a direction unless the options say otherwise."""

    name = "bilstm"
    summary = "stacked bidirectional LSTM over words or the teacher's pieces"
    model_types = ("ukd-bilstm",)
    model_type_class = BiLSTMForSequenceClassification
    config_type = BiLSTMConfig

    @property
    def embedding_width(self) -> int:
        """The embeddings keep their own width."""
        return int(self.model.config.embedding_width)

    @classmethod
    def extra_sizes(cls, options: Any) -> dict[str, Any]:
        """None."""
        return {}


AutoConfig.register(BiLSTMConfig.model_type, BiLSTMConfig, exist_ok=True)
AutoModelForSequenceClassification.register(BiLSTMConfig, BiLSTMForSequenceClassification, exist_ok=True)
