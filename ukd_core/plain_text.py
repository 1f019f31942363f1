"""Whether text that a user gave can be a file name and be written."""

from __future__ import annotations


def is_plain(text: str) -> bool:
    """Whether text can be a file name and be written as UTF-8: no NUL, no half of a surrogate pair."""
    try:
        return b"\0" not in text.encode("utf-8")
    except UnicodeEncodeError:
        return False
