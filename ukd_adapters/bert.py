"""BERT: Devlin et al., NAACL 2019, https://aclanthology.org/N19-1423; MiniLM checkpoints have this form too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

from transformers import BertConfig, BertTokenizer

from ukd_adapters.encoder import HuggingFaceEncoder
from ukd_adapters.piece_tokenizers import train_word_piece

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@final
class BertLayerSource(HuggingFaceEncoder):
    """Encoders of model type `bert`."""

    name = "bert"
    summary = "BERT encoder, from a checkpoint, a teacher's lower layers or fresh"
    model_types = ("bert",)
    config_type = BertConfig

    @classmethod
    def train_tokenizer(cls, texts: Sequence[str], size: int) -> PreTrainedTokenizerBase:
        """Train a lower-casing WordPiece vocabulary."""
        return train_word_piece(BertTokenizer, texts, size, ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
