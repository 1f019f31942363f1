"""Every error that the core can raise has a test that asserts its text.

Read from the source: of each `raise`, every fixed piece of its message must stand in some test. That the tests reach
the line is for coverage to say; that they look at what it tells the user is said here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PIECE = 9
"""Letters that a piece of a message must have to be told from others."""


def pieces(node: ast.AST) -> Iterator[str]:
    """The fixed parts of the texts under a node, in the order in which they are written."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = plain(node.value)
        if len(text) >= PIECE:
            yield text
    for part in ast.iter_child_nodes(node):
        yield from pieces(part)


def plain(text: str) -> str:
    """Without what regular expressions add, blanks as one."""
    return " ".join(text.replace("\\", "").split()).strip(" .'\"()[]")


def raised(tree: ast.Module) -> Iterator[tuple[int, list[str]]]:
    """Line and pieces of every `raise` that words a message; of `raise helper(…)` those of the helper."""
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call):
            continue
        found = list(pieces(node.exc))
        name = node.exc.func.id if isinstance(node.exc.func, ast.Name) else ""
        if name in functions:
            found += [text for line in ast.walk(functions[name]) if isinstance(line, ast.Return)
                      for text in pieces(line)]
        if found:
            yield node.lineno, found


def said_in_tests() -> str:
    """All texts of all tests, one after another."""
    files = [path for path in (ROOT / "tests").rglob("*.py") if path.name != Path(__file__).name]
    texts = (part.value for path in files for part in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
             if isinstance(part, ast.Constant) and isinstance(part.value, str))
    return "\n".join(map(plain, texts))


def unsaid(source: str, said: str) -> dict[int, list[str]]:
    """By line of a `raise`, the pieces of its message that stand in no test."""
    missing = {line: [text for text in found if text not in said] for line, found in raised(ast.parse(source))}
    return {line: found for line, found in missing.items() if found}


MODULES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "ukd_core").rglob("*.py"))


@pytest.fixture(scope="module")
def said() -> str:
    return said_in_tests()


@pytest.mark.parametrize("module", MODULES)
def test_text_of_every_error_is_asserted(module: str, said: str) -> None:
    assert unsaid((ROOT / module).read_text(encoding="utf-8"), said) == {}


@pytest.mark.parametrize(("source", "found"), [
    ('raise InputError(where, f"expected a box, got {x}", "Open the box.")',
     [(1, ["expected a box, got", "Open the box"])]),
    ('def _wrong(x):\n    return InputError(x, "expected a box")\n\n\ndef f():\n    raise _wrong(1)',
     [(6, ["expected a box"])]),
    ("try:\n    f()\nexcept ValueError:\n    raise", []),
    ("raise error", []),
])
def test_messages_are_found(source: str, found: list[tuple[int, list[str]]]) -> None:
    assert list(raised(ast.parse(source))) == found


def test_a_piece_that_no_test_asserts_is_found() -> None:
    source = 'raise InputError(where, f"expected a box, got {x}", "Open the box.")'
    assert unsaid(source, "a: expected a box, got a lid. Open the box") == {}
    assert unsaid(source, "a: expected a box, got a lid.") == {1: ["Open the box"]}


def test_there_are_many(said: str) -> None:
    count = sum(len(list(raised(ast.parse((ROOT / module).read_text(encoding="utf-8"))))) for module in MODULES)
    assert count > 100
    assert "no such folder" in said
