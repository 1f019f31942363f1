"""docs/writing_a_plugin.md, followed in an empty folder: its files, its commands, what it says they print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from documents import ROOT, blocks, commands, install_into, is_said, run

from ukd_core.run.embedded import cache_folder, embedded_path
from ukd_core.testing import PROJECTOR_CHECKS

PAGE = "docs/writing_a_plugin.md"


def test_files_of_the_page_are_those_of_the_example():
    files = {block.title: block.body for block in blocks(PAGE) if block.title}
    assert files == {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "examples/own_projector").iterdir()
                     if path.is_file()}


@pytest.fixture
def desk(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """An empty folder and the variables of a user who has used nothing yet but the embedded data."""
    data, cache = embedded_path("reuters-r8", cache_folder()), tmp_path / "cache"
    cache.mkdir()
    (cache / "embedded").symlink_to(data.parent)
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder, {"UKD_CACHE": str(cache), "PYTHONPATH": str(tmp_path / "installed")}


def test_page_can_be_followed(desk: tuple[Path, dict[str, str]]):
    folder, surroundings = desk
    for block in blocks(PAGE):
        if block.title:
            (folder / block.title).write_text(block.body, encoding="utf-8")
        elif block.language == "console":
            for command, lines in commands(block):
                # But for pip, which may change nothing here and fetch nothing.
                here = command.replace("pip install", install_into(surroundings["PYTHONPATH"]))
                printed = run(here, folder, surroundings)
                for line in lines:
                    assert is_said(line, printed), f"{command}\nexpected: {line}\nprinted:\n{printed}"
        elif block.body.startswith("from ukd_core import Recipe"):
            run(f"python - <<'END'\n{block.body}\nassert metrics['student']['metrics']\nEND", folder, surroundings)
        elif block.language == "python":
            names: dict[str, dict[str, str]] = {}
            exec(block.body, names)
            assert set(names["exceptions"]) < {check.__name__ for check in PROJECTOR_CHECKS}
        else:  # messages: tests/plugin_system/test_tutorial_messages.py
            assert block.body.startswith("plug-in 'confidence'")
    assert sorted(path.name for path in (folder / "runs").iterdir()) == ["confidence", "from-python"]


def test_kit_sees_the_fault_that_the_page_proposes(tmp_path: Path, ukd: Callable[..., tuple[int, str, str]]):
    code = next(block.body for block in blocks(PAGE) if block.title == "ukd_confidence.py")
    assert ".softmax(dim=0)" in code and "`.softmax(dim=0)`" in (ROOT / PAGE).read_text(encoding="utf-8")
    faulty = tmp_path / "ukd_confidence.py"
    faulty.write_text(code.replace(".softmax(dim=0)", ""), encoding="utf-8")
    status, printed, _ = ukd("plugins", "check", "confidence", "--plugin", faulty, "--examples", 5)
    assert status == 1
    assert is_said("check_weights_are_shares: FAILED: …", printed)


@pytest.mark.parametrize(("line", "said"), [
    ("run folder: x", True), ("run … x", True), ("… x", True), ("… passed in …", True), ("run", False),
    ("folder: x", False), ("… y", False)])
def test_lines_are_compared(line: str, said: bool):
    assert is_said(line, "27 passed in 3.1s\n  run   folder: x\n") == said
