"""Whether a file is the text that its ending says, seen before a reader in C or C++ is given it.

Those readers cut a field at a NUL byte without a word, keep bytes that are no UTF-8 until somebody looks at them, and
crash where JSON is nested some ten thousand times or its first row is null.
"""

from __future__ import annotations

import codecs
import re
from itertools import accumulate
from pathlib import Path

from ukd_core.errors import InputError

MOST_DEPTH = 64
"""Brackets of a JSON file within each other."""
_NULL = re.compile(rb"\[?\s*null\b")
_BRACKETS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|([\[{])|[\]}]', re.DOTALL)
"""A text, also one that does not end, or a bracket; nothing of it is tried twice, however long the line is."""


def check_text_file(path: Path, where: str, *, nested: bool) -> None:
    """Read a whole file once, a line at a time; called before it is read as a table.

    Args:
        path: A CSV, TSV or JSON file.
        where: The data, as the user named it, for errors.
        nested: It is JSON, of which the depth counts.

    Raises:
        InputError: it is not UTF-8, has NUL bytes, is nested too deep or has rows that are null; names the line,
            counted from 1.
    """
    begun, array, depth = False, False, 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            _check_letters(line, number, where)
            if nested:
                row = line.removeprefix(codecs.BOM_UTF8).strip()
                array = array or (not begun and row.startswith(b"["))
                depth = _checked_depth(row, depth, number, where)
                if _NULL.match(row) and not (begun and array):
                    raise InputError(where, f"expected an object in line {number:,}, got null",
                                     "Write one flat object a line.")
                begun = begun or row.strip(b"[ \t\r") != b""


def _check_letters(line: bytes, number: int, where: str) -> None:
    if b"\0" in line:
        raise InputError(where, f"expected text, got a NUL byte in line {number:,}",
                         "Save the file as UTF-8 text without such bytes.")
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(where, f"expected UTF-8 text, got the byte 0x{line[error.start]:02x} in line {number:,}",
                         "Save the file as UTF-8.") from error


def _checked_depth(line: bytes, depth: int, number: int, where: str) -> int:
    """How many brackets of JSON are open after a line, where `depth` were before it; those in texts do not count."""
    opened = line.count(b"[") + line.count(b"{")
    if opened + depth <= MOST_DEPTH and opened == line.count(b"]") + line.count(b"}"):
        return depth
    found = (match for match in _BRACKETS.finditer(line) if not match[0].startswith(b'"'))
    depths = list(accumulate((1 if match[1] else -1 for match in found), initial=depth))
    if max(depths) > MOST_DEPTH:
        raise InputError(where, f"expected JSON nested at most {MOST_DEPTH} times, got more in line {number:,}",
                         "Write one flat object a line.")
    return depths[-1]
