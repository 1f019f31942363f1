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
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|([\[{])|[\]}]', re.DOTALL)


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
    begun, array = False, False
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            _check_letters(line, number, where)
            if nested:
                row = line.removeprefix(codecs.BOM_UTF8).strip()
                array = array or (not begun and row.startswith(b"["))
                _check_rows(row, number, where, first=not begun or not array)
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


def _check_rows(line: bytes, number: int, where: str, *, first: bool) -> None:
    """Of a line of JSON; `first`: a row may begin it."""
    if line.count(b"[") + line.count(b"{") > MOST_DEPTH and _depth(line) > MOST_DEPTH:
        raise InputError(where, f"expected JSON nested at most {MOST_DEPTH} times, got more in line {number:,}",
                         "Write one flat object a line.")
    if first and _NULL.match(line):
        raise InputError(where, f"expected an object in line {number:,}, got null", "Write one flat object a line.")


def _depth(line: bytes) -> int:
    """Most brackets within each other, those in texts aside."""
    found = (match for match in _BRACKETS.finditer(line) if not match[0].startswith(b'"'))
    return max(accumulate(1 if match[1] else -1 for match in found), default=0)
