"""First values of a word embedding table: the teacher's, fastText's, or those of a file of word vectors."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ukd_adapters.text import words_of
from ukd_adapters.word_vectors import fasttext_vectors, read_vectors
from ukd_core.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ukd_core import LayerSource

log = logging.getLogger("ukd")
RANDOM_DEVIATION = 0.1
"""Standard deviation of random rows; the models normalise embeddings, so only the ratio to a training step counts."""


def embedding_table(choice: str, tokenizer: PreTrainedTokenizerBase, *, teacher: LayerSource | None,
                    texts: Sequence[str], width: int, seed: int) -> Tensor:
    """The table that a word model starts from. Called once, when the model is built.

    Rows that the choice has nothing for are random; the row of the padding token is zero.

    Args:
        choice: "teacher" (random where there is no teacher), "random", "fasttext" (trained on `texts`), or the path
            of a file of word vectors.
        tokenizer: The model's own.
        teacher: The teacher.
        texts: Training texts, for fastText.
        width: Width of random and fastText rows.
        seed: Of the random rows.

    Returns:
        Shape (ids of the tokenizer, width of the choice), float32.

    Raises:
        InputError: a teacher without an embedding table, an unreadable file, or a file without any of the words.
    """
    tokens = words_of(tokenizer)
    if choice == "teacher" and teacher is not None:
        rows = teacher_rows(tokens, tokenizer, teacher)
    elif choice in ("teacher", "random"):
        rows = {}
    elif choice == "fasttext":
        rows = fasttext_vectors(tokens, tokenizer, texts, width)
    else:
        rows = read_vectors(choice, tokens)
        log.info("word vectors '%s': %d of %d words found", choice, len(rows), len(tokens))
    table = _filled(rows, len(tokens), width, seed)
    if tokenizer.pad_token_id is not None:
        table[tokenizer.pad_token_id] = 0.0
    return table


def teacher_rows(tokens: Sequence[str], tokenizer: PreTrainedTokenizerBase, teacher: LayerSource) -> dict[int, Tensor]:
    """For each word the mean of the teacher's embeddings of its pieces; special tokens get the teacher's like ones.

    With the teacher's own vocabulary the rows are a copy.

    Args:
        tokens: The model's tokens in the order of their ids.
        tokenizer: The model's own.
        teacher: The teacher.

    Returns:
        Id -> row, shape (width,), float32.
    """
    table = teacher.input_embeddings()
    if table is None:
        raise InputError("embeddings 'teacher'", f"expected a teacher with a token embedding table, got adapter "
                         f"'{teacher.name}' without one", "Use random, fasttext or a file of word vectors.")
    table = table.float().cpu()
    if tokenizer.get_vocab() == teacher.tokenizer.get_vocab():
        return dict(enumerate(table[: len(tokens)]))
    # A leading space makes byte-level pieces those of a whole word; other tokenizers ignore it.
    pieces = teacher.tokenizer([" " + token for token in tokens], add_special_tokens=False)["input_ids"]
    for name in ("unk_token_id", "cls_token_id", "sep_token_id"):
        own, theirs = getattr(tokenizer, name), getattr(teacher.tokenizer, name)
        if own is not None:
            pieces[own] = [] if theirs is None else [theirs]
    return {index: table[ids].double().mean(dim=0).float() for index, ids in enumerate(pieces) if ids}


def _filled(rows: dict[int, Tensor], size: int, width: int, seed: int) -> Tensor:
    """All rows in one table; missing ones are random with the spread of those that are there."""
    generator = torch.Generator().manual_seed(seed)
    if not rows:
        return torch.randn(size, width, generator=generator) * RANDOM_DEVIATION
    known = torch.stack(list(rows.values()))
    spread = known.std().item() if known.numel() > 1 else RANDOM_DEVIATION
    spread = spread if math.isfinite(spread) and spread > 0 else RANDOM_DEVIATION
    table = torch.randn(size, known.shape[1], generator=generator) * spread
    table[torch.tensor(list(rows))] = known
    return table
