"""Word vectors from fastText, GloVe and word2vec text files, and the caches that torchtext left behind."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ukd_core.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FRESH_MEMORY = 64 * 2**20
"""Bytes from which an allocation is a fresh, zeroed mapping on every common system (glibc: always above 32 MiB)."""


def read_vectors(location: str, tokens: Sequence[str]) -> dict[int, Tensor]:
    """The vectors that a file has for `tokens`; the format follows from the ending.

    ``.bin``: a fastText model (gives a vector for every word, from its parts). ``.vec``, ``.txt`` and any other text:
    one word and its numbers a line, with a first line "count width" (fastText, word2vec) or without (GloVe). ``.pt``:
    the tuple (words, index, vectors, width) that torchtext's `Vectors` keeps as a cache, read with `weights_only`.

    Args:
        location: Path.
        tokens: Words in the order of their ids.

    Returns:
        Id -> vector, shape (width,), float32.

    Raises:
        InputError: no such file, another format, or none of the words is in it.
    """
    path, where = Path(location), f"embeddings '{location}'"
    if not path.is_file():
        raise InputError(where, "expected teacher, random, fasttext or a file of word vectors, got no such file",
                         "Check the path.")
    readers = {".bin": _from_fasttext, ".pt": _from_torchtext}
    rows = readers.get(path.suffix, _from_text)(path, where, tokens)
    if not rows:
        raise InputError(where, "expected vectors for the words of the task, got a file with none of them",
                         "Check the language of the file and the option lowercase.")
    if not torch.stack(list(rows.values())).isfinite().all():
        raise InputError(where, "expected finite numbers, got infinite ones or NaN", "Use another file.")
    return rows


def fasttext_vectors(tokens: Sequence[str], tokenizer: PreTrainedTokenizerBase, texts: Sequence[str],
                     width: int) -> dict[int, Tensor]:
    """Train fastText skip-gram vectors on `texts`, split as the model's tokenizer splits them.

    One thread and fastText's fixed seed: the same texts give the same vectors. On one thread fastText draws only the
    first tenth of its table (words, then character n-grams) and leaves the rest as the memory was, whence its
    "Encountered NaN"; so there are ten times more rows than words, in a table large enough to start as zeros.

    Args:
        tokens: The model's tokens in the order of their ids.
        tokenizer: The model's own.
        texts: Training texts.
        width: Width of the vectors.

    Returns:
        Id -> vector, shape (width,), float32.

    Raises:
        InputError: fastText is not installed or fails, or the texts hold no word.
    """
    where = "embeddings 'fasttext'"
    fasttext = _fasttext(where)
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "texts.txt"
        with corpus.open("w", encoding="utf-8") as file:
            file.writelines(" ".join(tokenizer.tokenize(text)) + "\n" for text in texts)
        if not corpus.read_text(encoding="utf-8").strip():
            raise InputError(where, "expected texts with words, got none", "Use random embeddings.")
        buckets = max(10 * len(tokens), FRESH_MEMORY // (4 * width))
        try:
            model = fasttext.train_unsupervised(str(corpus), model="skipgram", dim=width, minCount=1, bucket=buckets,
                                                thread=1, verbose=0)
        except RuntimeError as error:
            raise InputError(where, f"fastText failed: {str(error).rstrip('.')}",
                             "Use random embeddings or a file of vectors.") from error
    return dict(enumerate(_word_rows(model, tokens)))


def _fasttext(where: str) -> ModuleType:
    try:
        import fasttext
    except ImportError as error:
        raise InputError(where, "expected the package fasttext-numpy2, which could not be imported",
                         "pip install fasttext-numpy2") from error
    module: ModuleType = fasttext
    return module


def _word_rows(model: Any, tokens: Iterable[str]) -> Iterator[Tensor]:
    return (torch.from_numpy(model.get_word_vector(token)).float() for token in tokens)


def _from_fasttext(path: Path, where: str, tokens: Sequence[str]) -> dict[int, Tensor]:
    fasttext = _fasttext(where)
    try:
        model = fasttext.load_model(os.fspath(path))
    except (ValueError, RuntimeError, MemoryError) as error:
        raise InputError(where, "expected a fastText model, got a file that fastText cannot read",
                         "Word vectors as text have the ending .vec or .txt.") from error
    return dict(enumerate(_word_rows(model, tokens)))


def _from_torchtext(path: Path, where: str, tokens: Sequence[str]) -> dict[int, Tensor]:
    expected = "expected torchtext's cache of Vectors, a tuple (words, index, vectors, width)"
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch each raise their own kinds
        raise InputError(where, f"{expected}, got a file that torch.load(weights_only=True) refuses",
                         "Load it with torchtext once and save it as text.") from error
    if not (isinstance(stored, tuple) and len(stored) == 4 and isinstance(stored[1], dict)
            and isinstance(stored[2], Tensor) and stored[2].ndim == 2):
        raise InputError(where, f"{expected}, got {type(stored).__name__}", "Give the .pt file in torchtext's cache.")
    _, index, vectors, _ = stored
    return {number: vectors[index[token]].float() for number, token in enumerate(tokens) if token in index}


def _from_text(path: Path, where: str, tokens: Sequence[str]) -> dict[int, Tensor]:
    wanted = {token: number for number, token in enumerate(tokens)}
    rows: dict[int, Tensor] = {}
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        width = 0
        for line_number, line in enumerate(file, start=1):
            parts = line.rstrip().split(" ")
            if parts == [""]:
                continue
            if line_number == 1 and len(parts) == 2 and all(part.isdigit() for part in parts):
                width = int(parts[1])
                continue
            width = width or len(parts) - 1
            if width < 1 or len(parts) <= width:
                raise _bad_line(where, line_number, max(width, 1), len(parts) - 1)
            # Counted from the end: a few words of GloVe 840B hold spaces.
            word = " ".join(parts[: len(parts) - width])
            if word in wanted:
                rows.setdefault(wanted[word], _numbers(parts[len(parts) - width:], where, line_number))
    return rows


def _numbers(parts: Sequence[str], where: str, line_number: int) -> Tensor:
    try:
        return torch.tensor([float(part) for part in parts])
    except ValueError as error:
        raise InputError(where, f"line {line_number}: expected a word and {len(parts)} numbers, got other text",
                         "Give word vectors as text: a word and its numbers on each line.") from error


def _bad_line(where: str, line_number: int, width: int, got: int) -> InputError:
    return InputError(where, f"line {line_number}: expected a word and {width} numbers, got {got}",
                      "Give word vectors as text: a word and its numbers on each line.")
