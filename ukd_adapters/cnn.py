"""A gated convolutional encoder: Dauphin et al., ICML 2017, https://arxiv.org/abs/1612.08083 (GLU, residual)."""

from __future__ import annotations

from typing import Any, final

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForSequenceClassification

from ukd_adapters.word_model import WordEmbeddings, WordEncoder, WordModel, WordModelConfig
from ukd_adapters.word_source import WordOptions, WordSource


@final
class CNNConfig(WordModelConfig):
    """Sizes of a CNN.

    Args:
        kernel_size: Tokens that a convolution sees, an odd number.
        num_hidden_layers: Blocks.
        kwargs: As `WordModelConfig` takes them.
    """

    model_type = "ukd-cnn"

    def __init__(self, kernel_size: int = 3, num_hidden_layers: int = 3, **kwargs: Any) -> None:
        self.kernel_size = kernel_size
        super().__init__(num_hidden_layers=num_hidden_layers, **kwargs)


class SequenceConvolution(nn.Module):
    """A convolution over tokens as one linear map of shifted copies, equal to `nn.Conv1d` with "same" padding.

    `nn.Conv1d` is slow on the CPU when the length changes from batch to batch: its kernel is made anew each time.

    Args:
        width: Width of the input.
        out: Width of the output.
        kernel: Tokens that are seen, an odd number.
    """

    def __init__(self, width: int, out: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.linear = nn.Linear(kernel * width, out)

    def forward(self, states: Tensor) -> Tensor:
        """States (units, length, width) to (units, length, out): y[i] = b + Σ_k W_k · x[i + k - (kernel - 1) / 2]."""
        length, reach = states.shape[1], self.kernel // 2
        padded = functional.pad(states, (0, 0, reach, reach))
        shifted = torch.cat([padded[:, start: start + length] for start in range(self.kernel)], dim=-1)
        convolved: Tensor = self.linear(shifted)
        return convolved


class GatedBlock(nn.Module):
    """y = LayerNorm(x + a ⊙ sigmoid(g)), with (a, g) the two halves of a convolution of x.

    Args:
        width: Width of input and output.
        kernel: Tokens that the convolution sees.
    """

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.convolution = SequenceConvolution(width, 2 * width, kernel)
        self.norm = nn.LayerNorm(width)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """States (units, length, width) to the same shape; what lies outside of `mask` is read as zero.

        Args:
            states: Shape (units, length, width).
            mask: True where a token counts, shape (units, length), bool.
        """
        states = states * mask.unsqueeze(-1)
        block: Tensor = self.norm(states + functional.glu(self.convolution(states), dim=-1))
        return block


@final
class CNNForSequenceClassification(WordModel):
    """A CNN classifier that `AutoModelForSequenceClassification` and pipelines know."""

    config_class = CNNConfig

    @staticmethod
    def make_encoder(config: WordModelConfig) -> WordEncoder:
        """All blocks have one width; the embeddings are projected to it where theirs differs."""
        blocks = (GatedBlock(config.hidden_size, config.kernel_size) for _ in range(config.num_hidden_layers))
        return WordEncoder(WordEmbeddings(config, config.hidden_size), blocks, config.dropout)

    @staticmethod
    def layer_width(config: WordModelConfig) -> int:
        """The width of a block."""
        return int(config.hidden_size)


class CNNOptions(WordOptions):
    """Options of the adapter `cnn`."""

    kernel: int = Field(3, ge=1, le=1023, description="Tokens that a convolution sees, an odd number")

    @field_validator("kernel")
    @classmethod
    def _is_odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError("Input should be an odd number")
        return kernel


@final
class CNNLayerSource(WordSource):
    """The adapter `cnn`; 3 blocks of width 128 unless the options say otherwise."""

    name = "cnn"
    summary = "gated convolutions over words or the teacher's pieces"
    model_types = ("ukd-cnn",)
    model_type_class = CNNForSequenceClassification
    config_type = CNNConfig
    Options = CNNOptions

    @classmethod
    def extra_sizes(cls, options: Any) -> dict[str, Any]:
        """The reach of the convolutions."""
        return {"kernel_size": options.kernel}


AutoConfig.register(CNNConfig.model_type, CNNConfig, exist_ok=True)
AutoModelForSequenceClassification.register(CNNConfig, CNNForSequenceClassification, exist_ok=True)
