"""DistilBERT: Sanh et al., 2019, https://arxiv.org/abs/1910.01108."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, final

from transformers import DistilBertConfig, DistilBertTokenizer

from ukd_adapters.encoder import HuggingFaceEncoder
from ukd_adapters.piece_tokenizers import train_word_piece

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@final
class DistilBertLayerSource(HuggingFaceEncoder):
    """Encoders of model type `distilbert`; pairs have no segment embeddings."""

    name = "distilbert"
    summary = "DistilBERT encoder, from a checkpoint, a teacher's lower layers or fresh"
    model_types = ("distilbert",)
    config_type = DistilBertConfig
    config_keys = MappingProxyType({"layers": "n_layers", "hidden": "dim", "heads": "n_heads",
                                    "intermediate": "hidden_dim"})
    dropout_keys = ("dropout", "attention_dropout")

    @classmethod
    def train_tokenizer(cls, texts: Sequence[str], size: int) -> PreTrainedTokenizerBase:
        """Train a lower-casing WordPiece vocabulary."""
        return train_word_piece(DistilBertTokenizer, texts, size, ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
