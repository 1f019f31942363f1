"""Training the tokenizers of BERT-like and RoBERTa-like encoders on the texts of a task."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def train_word_piece(kind: type[PreTrainedTokenizerBase], texts: Sequence[str], size: int,
                     specials: Sequence[str], unknown: str = "[UNK]") -> PreTrainedTokenizerBase:
    """Train a lower-casing WordPiece vocabulary as BERT has it; the same texts give the same vocabulary.

    The trainer of `tokenizers` numbers the inner letters in the order of a hash map, which decides between equally
    frequent merges. They are numbered here, beforehand, as if they were special tokens.

    Args:
        kind: Fast tokenizer class that takes a `vocab`.
        texts: Training texts.
        size: Most tokens, special ones included.
        specials: Special tokens in the order of their ids.
        unknown: The one of them that stands for an unknown piece.
    """
    tokenizer = Tokenizer(models.WordPiece(vocab={}, unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    letters, inner = _letters(tokenizer, texts, most=(size - len(specials)) // 2)
    numbered = [*specials, *("##" + letter for letter in inner)]
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=numbered, initial_alphabet=letters,
                                        limit_alphabet=len(letters), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return kind(vocab=tokenizer.get_vocab())


def _letters(tokenizer: Tokenizer, texts: Sequence[str], most: int) -> tuple[list[str], list[str]]:
    """The most frequent characters, and those of them that occur inside words; both in alphabetical order."""
    words: Counter[str] = Counter()
    for text in texts:
        normal = tokenizer.normalizer.normalize_str(text)
        words.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal))
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for letter in word:
            counts[letter] += count
    letters = sorted(sorted(counts, key=lambda letter: (-counts[letter], letter))[:most])
    inside = set().union(*(word[1:] for word in words))
    return letters, [letter for letter in letters if letter in inside]


def train_byte_pairs(kind: type[PreTrainedTokenizerBase], texts: Sequence[str], size: int,
                     specials: Sequence[str]) -> PreTrainedTokenizerBase:
    """Train a byte-level BPE vocabulary as RoBERTa has it; the same texts give the same vocabulary.

    Args:
        kind: Fast tokenizer class that takes `vocab` and `merges`.
        texts: Training texts.
        size: Most tokens, special ones and the 256 bytes included.
        specials: Special tokens in the order of their ids.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=list(specials), show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(texts, trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return kind(vocab=tokenizer.get_vocab(), merges=[tuple(pair) for pair in merges])
