"""Word vocabularies: trained on the task's texts, or read from a list of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from ukd_core.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PAD, UNKNOWN, START, SEPARATOR = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
SPECIALS = (PAD, UNKNOWN, START, SEPARATOR)
TORCHTEXT_SPECIALS = frozenset({"<pad>", "<unk>"})
TINY = 1000
"""Below this many texts a word that occurs once is kept."""


def train_words(texts: Sequence[str], *, size: int, min_count: int | None, lowercase: bool, plain: bool = False
                ) -> PreTrainedTokenizerFast:
    """Make a tokenizer whose tokens are the most frequent words of `texts`; ties go by the alphabet.

    Args:
        texts: Training texts.
        size: Most tokens, the four special ones included.
        min_count: Drop words that occur less often; None for 2, or 1 where there are fewer than 1,000 texts.
        lowercase: Lower-case texts first.
        plain: Split in the fastest way, see `_splitter`.
    """
    tokenizer = _splitter(lowercase, plain)
    least = min_count or (1 if len(texts) < TINY else 2)
    trainer = trainers.WordLevelTrainer(vocab_size=size, min_frequency=least, special_tokens=list(SPECIALS),
                                        show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return _wrapped(tokenizer.get_vocab(), lowercase, plain)


def read_words(path: Path, *, lowercase: bool, plain: bool = False) -> PreTrainedTokenizerFast:
    """Make a tokenizer from a text file with one word a line (a torchtext `Vocab` written out by its `get_itos`).

    Special tokens of torchtext are replaced by this project's own, which come first.

    Raises:
        InputError: the file is missing, not UTF-8 or without words.
    """
    where = f"vocabulary '{path}'"
    try:
        if not path.is_file():  # a pipe would be waited for
            raise FileNotFoundError(path)
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(where, "expected a UTF-8 text file with one word a line, got something unreadable",
                         "Give words, teacher or the path of such a file.") from error
    words = dict.fromkeys(line.strip() for line in lines)
    kept = [word for word in words if word and word not in TORCHTEXT_SPECIALS and word not in SPECIALS]
    if not kept:
        raise InputError(where, "expected one word a line, got an empty file", "Write one word a line.")
    return _wrapped({word: index for index, word in enumerate((*SPECIALS, *kept))}, lowercase, plain)


def words_of(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The token of every id; an empty text for an id without one."""
    vocabulary: Mapping[str, int] = tokenizer.get_vocab()
    tokens = [""] * (max(vocabulary.values()) + 1)
    for token, index in vocabulary.items():
        tokens[index] = token
    return tokens


def _splitter(lowercase: bool, plain: bool) -> Tokenizer:
    """White space and punctuation separate; accents stay, because word vectors have them.

    Plain: runs of letters and digits, and runs of other signs; nothing is cleaned, and a run of Chinese characters is
    one word. It takes about half of the time.
    """
    tokenizer = Tokenizer(models.WordLevel(vocab={}, unk_token=UNKNOWN))
    if plain:
        if lowercase:
            tokenizer.normalizer = normalizers.Lowercase()
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        return tokenizer
    tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=False, lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _wrapped(vocabulary: Mapping[str, int], lowercase: bool, plain: bool) -> PreTrainedTokenizerFast:
    """Every text starts with a token, so that an empty one is a unit like any other."""
    tokenizer = _splitter(lowercase, plain)
    tokenizer.model = models.WordLevel(vocab=dict(vocabulary), unk_token=UNKNOWN)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A", pair=f"{START} $A {SEPARATOR} $B",
        special_tokens=[(token, vocabulary[token]) for token in (START, SEPARATOR)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, unk_token=UNKNOWN, cls_token=START,
                                   sep_token=SEPARATOR, model_input_names=["input_ids", "attention_mask"])
