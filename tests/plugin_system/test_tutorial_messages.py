"""The messages that docs/writing_a_plugin.md shows are those that its faults give."""

from __future__ import annotations

import re

import pytest
from documents import ROOT, blocks
from fake_plugins import Fakes

from ukd_core.errors import PluginError
from ukd_core.plugins import load_registry

PAGE = "docs/writing_a_plugin.md"
CODE = (ROOT / "examples/own_projector/ukd_confidence.py").read_text(encoding="utf-8")
FAULTS = [
    ("import torch", "import pandas_of_tomorrow"),
    ("def ukd_register_projectors", "def ukd_register_projector"),
    ("@hookimpl\n", ""),
    ('name = "confidence"', 'name = "Confidence"'),
]
"""What each line of the page's list comes from, in its order; the last line is from two plug-ins of one name."""


def shown() -> list[str]:
    (block,) = [block for block in blocks(PAGE) if not block.language]
    return block.body.splitlines()


def as_shown(text: str) -> str:
    return text.replace("ukd_confidence_module", "ukd_confidence").replace("pandas_of_tomorrow", "pandas")


def matches(line: str, text: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, line.split("…"))), as_shown(text)) is not None


@pytest.mark.parametrize(("line", "fault"), list(zip(shown()[:-1], FAULTS, strict=True)))
def test_fault_gives_the_line(line: str, fault: tuple[str, str], fakes: Fakes):
    assert fault[0] in CODE
    fakes.distribution("ukd-confidence", "0.1.0", "confidence", CODE.replace(*fault))
    (problem,) = load_registry().problems
    assert matches(line, str(problem)), str(problem)


def test_two_of_one_name_give_the_last_line(fakes: Fakes):
    fakes.distribution("ukd-confidence", "0.1.0", "confidence", CODE)
    path = fakes.file("ukd_confidence", CODE)
    with pytest.raises(PluginError) as caught:
        load_registry([str(path)])
    assert matches(shown()[-1], str(caught.value)), str(caught.value)
