"""MPNet: Song et al., NeurIPS 2020, https://arxiv.org/abs/2004.09297."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

from transformers import MPNetConfig, MPNetTokenizer

from ukd_adapters.encoder import HuggingFaceEncoder
from ukd_adapters.piece_tokenizers import train_word_piece

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase


@final
class MPNetLayerSource(HuggingFaceEncoder):
    """Encoders of model type `mpnet`."""

    name = "mpnet"
    summary = "MPNet encoder, from a checkpoint, a teacher's lower layers or fresh"
    model_types = ("mpnet",)
    config_type = MPNetConfig

    @classmethod
    def reserved_positions(cls, config: PreTrainedConfig) -> int:
        """Positions count from 2: transformers fixes MPNet's padding id to 1, whatever the configuration says."""
        return 2

    @classmethod
    def train_tokenizer(cls, texts: Sequence[str], size: int) -> PreTrainedTokenizerBase:
        """Train a lower-casing WordPiece vocabulary with `<pad>` as id 1, which the model counts on."""
        return train_word_piece(MPNetTokenizer, texts, size, ("<s>", "<pad>", "</s>", "[UNK]", "<mask>"))
