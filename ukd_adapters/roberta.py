"""RoBERTa (Liu et al., 2019, https://arxiv.org/abs/1907.11692), XLM-RoBERTa and CamemBERT, which share its form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

from transformers import RobertaConfig, RobertaTokenizer

from ukd_adapters.encoder import HuggingFaceEncoder
from ukd_adapters.piece_tokenizers import train_byte_pairs

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase


@final
class RobertaLayerSource(HuggingFaceEncoder):
    """Encoders of model types `roberta`, `xlm-roberta` and `camembert`; a fresh one is a RoBERTa."""

    name = "roberta"
    summary = "RoBERTa, XLM-RoBERTa or CamemBERT encoder, from a checkpoint, a teacher's lower layers or fresh"
    model_types = ("roberta", "xlm-roberta", "camembert")
    config_type = RobertaConfig

    @classmethod
    def reserved_positions(cls, config: PreTrainedConfig) -> int:
        """Positions count from the padding id + 1."""
        return int(config.pad_token_id) + 1

    @classmethod
    def train_tokenizer(cls, texts: Sequence[str], size: int) -> PreTrainedTokenizerBase:
        """Train a byte-level BPE vocabulary."""
        return train_byte_pairs(RobertaTokenizer, texts, size, ("<s>", "<pad>", "</s>", "<unk>", "<mask>"))
