"""Text from data, models and other people's files as a terminal may show it."""

from __future__ import annotations

import re

UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but TAB and line feed, marks that turn the reading direction, halves of characters."""


def visible(text: str) -> str:
    r"""Each character that would move the cursor, change colours or turn the text around as its number.

    Written as in JSON, so that a line of JSON still holds the same values. Called for whatever is printed.

    >>> visible("red: \x1b[31m")
    'red: \\u001b[31m'
    """
    return UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
