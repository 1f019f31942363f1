"""Documents as tests read them: their code blocks, and the running of those that are commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
ANYTHING = "…"


@dataclass(frozen=True)
class Block:
    """A fenced block of a Markdown file."""

    language: str
    title: str
    body: str


def blocks(document: str) -> list[Block]:
    """Every fenced block of a document of the repository, in order."""
    text = (ROOT / document).read_text(encoding="utf-8")
    fence = re.compile(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
    return [Block(language, title, body) for language, title, body in fence.findall(text)]


def commands(block: Block) -> Iterator[tuple[str, list[str]]]:
    """The commands of a console block, each with the lines that it is said to print."""
    parts = re.split(r"^\$ ", block.body, flags=re.MULTILINE)
    for part in parts[1:]:
        command, *printed = part.replace("\\\n", " ").rstrip("\n").split("\n")
        yield command, printed


def run(command: str, folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a command in a shell where `ukd`, `python` and `pip` are those of this environment; fails if it fails.

    Returns:
        Standard output and standard error together.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", command], cwd=folder, env={**os.environ, "PATH": path, **(environment or {})},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout


def install_into(folder: Path | str) -> str:
    """The start of a `pip install` that changes this environment in nothing and fetches nothing."""
    return f"python -m pip install --quiet --no-index --no-deps --no-build-isolation --target {folder}"


def is_said(line: str, text: str) -> bool:
    """Whether the text has a line like this one; "…" stands for anything, blanks for any number of blanks."""
    words = (".*".join(re.escape(part) for part in word.split(ANYTHING)) for word in line.split())
    return re.search(r"^\s*" + r"\s+".join(words).replace(r".*\s+", r".*") + r"\s*$", text, re.MULTILINE) is not None
