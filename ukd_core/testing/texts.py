"""Texts for adapters: sentences to build from, and awkward ones to read."""

from __future__ import annotations

from hypothesis import strategies as st

SENTENCES = (
    "The lighthouse keeper counted nine boats before breakfast.",
    "My sister repairs old clocks, but never on a Monday!",
    "Snow covered the railway; nobody could reach the village.",
    "Two foxes crossed the frozen river and did not look back.",
    "Why does the bakery close when the oven is still warm?",
)
"""What models are built from."""

WORDS = tuple(sorted({word for sentence in SENTENCES for word in sentence.split()}))
ODD = ("", " ", "\t\n", "é", "漢字", "🙂", "…", "\u200b", "a" * 40, "[PAD] [CLS] [SEP] [UNK]",
       "<s> <pad> </s> <mask>", "##")
"""Nothing to read, letters of other alphabets, marks, long words, and what tokenizers take for special tokens."""


def texts(max_words: int = 8) -> st.SearchStrategy[str]:
    """Texts of known words and odd ones, the empty text included."""
    return st.lists(st.sampled_from((*WORDS, *ODD)) | st.text(max_size=4), max_size=max_words).map(" ".join)


def text_batches(max_units: int = 4, max_words: int = 8) -> st.SearchStrategy[list[str]]:
    """Lists of texts, one unit at least."""
    return st.lists(texts(max_words), min_size=1, max_size=max_units)
