"""Who may import whom, sizes and forbidden constructs; read from the source, of which nothing is imported here."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"ukd_core": ROOT / "ukd_core", "ukd_adapters": ROOT / "ukd_adapters", "ukd_plugins": ROOT / "plugins"}
OPEN_TO_PLUGINS = {"ukd_core", "ukd_core.errors", "ukd_core.spec"}
FILE_LIMIT, FUNCTION_LIMIT = 400, 50

# A rule takes a module's dotted name and its tree, and gives what breaks it.
Rule = Callable[[str, ast.Module], list[str]]


def modules() -> Iterator[tuple[str, Path]]:
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            yield ".".join((package, *path.relative_to(folder).with_suffix("").parts)), path


def imported(module: str, tree: ast.Module) -> Iterator[tuple[str, str, int]]:
    """Every import as (module, name or "", line), relative ones and `import_module("…")` included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "", node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".")[: -node.level] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((source, alias.name, node.lineno) for alias in node.names)
        elif (isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__")
              and node.args and isinstance(node.args[0], ast.Constant)):
            yield str(node.args[0].value), "", node.lineno


def ours(module: str, tree: ast.Module) -> Iterator[tuple[str, int]]:
    """What is imported of this project, `from ukd_core import run` counted as `ukd_core.run`."""
    for source, name, line in imported(module, tree):
        if source.split(".")[0] in (*PACKAGES, "plugins"):
            yield (f"{source}.{name}" if (source, name) in submodules() else source), line


def submodules() -> set[tuple[str, str]]:
    names = (name.removesuffix(".__init__") for name, _ in modules())
    return {(parent, child) for parent, _, child in (name.rpartition(".") for name in names)}


def under(module: str, *prefixes: str) -> bool:
    return any(module == prefix or module.startswith(prefix + ".") for prefix in prefixes)


def import_direction(module: str, tree: ast.Module) -> list[str]:
    if module == "ukd_core.__init__":  # the list of public names; it imports each when it is first used
        return []
    if under(module, "ukd_core.run"):
        forbidden = ("ukd_adapters", "ukd_plugins", "ukd_core.cli", "ukd_core.commands", "plugins")
    elif under(module, "ukd_core.cli", "ukd_core.commands"):
        forbidden = ("ukd_adapters", "ukd_plugins", "plugins")
    elif under(module, "ukd_core"):
        forbidden = ("ukd_adapters", "ukd_plugins", "ukd_core.run", "ukd_core.cli", "ukd_core.commands", "plugins")
    else:
        own = module.split(".")[0]
        return [f"{line}: imports {name}" for name, line in ours(module, tree)
                if name not in OPEN_TO_PLUGINS and not under(name, own)]
    return [f"{line}: imports {name}" for name, line in ours(module, tree) if under(name, *forbidden)]


def public_names() -> set[str]:
    tree = ast.parse((ROOT / "ukd_core/__init__.py").read_text(encoding="utf-8"))
    homes = next(node.value for node in tree.body
                 if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOMES")
    return {"hookimpl", *ast.literal_eval(homes)}


def only_public_names(module: str, tree: ast.Module) -> list[str]:
    if under(module, "ukd_core"):
        return []
    used = [(name, line) for source, name, line in imported(module, tree) if source == "ukd_core" and name]
    return [f"{line}: ukd_core does not export {name}" for name, line in used
            if name not in public_names() and f"ukd_core.{name}" not in OPEN_TO_PLUGINS]


def short_functions(module: str, tree: ast.Module) -> list[str]:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {node: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions}
    return [f"{node.lineno}: {node.name} has {length} lines" for node, length in lengths.items()
            if length > FUNCTION_LIMIT]


def no_star_import(module: str, tree: ast.Module) -> list[str]:
    return [f"{line}: from {source} import *" for source, name, line in imported(module, tree) if name == "*"]


def no_assert(module: str, tree: ast.Module) -> list[str]:
    if under(module, "ukd_core.testing"):  # the kit is run by pytest: its asserts are its findings
        return []
    return [f"{node.lineno}: assert" for node in ast.walk(tree) if isinstance(node, ast.Assert)]


def no_print(module: str, tree: ast.Module) -> list[str]:
    if module == "ukd_core.cli":
        return []
    return [f"{node.lineno}: print" for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"]


def no_stub(module: str, tree: ast.Module) -> list[str]:
    """To catch that of another library is no stub."""
    raised = [part for node in ast.walk(tree) if isinstance(node, ast.Raise) for part in ast.walk(node)]
    return [f"{node.lineno}: NotImplementedError" for node in raised
            if isinstance(node, ast.Name) and node.id == "NotImplementedError"]


RULES: list[Rule] = [import_direction, only_public_names, short_functions, no_star_import, no_assert, no_print, no_stub]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_code_keeps_the_rule(rule: Rule) -> None:
    broken = [f"{path.relative_to(ROOT)}:{found}" for module, path in modules()
              for found in rule(module, ast.parse(path.read_text(encoding="utf-8")))]
    assert broken == []


@pytest.mark.parametrize(("rule", "module", "source"), [
    (import_direction, "ukd_core.projector", "from ukd_core.run.data import read_data"),
    (import_direction, "ukd_core.projector", "from ukd_core import run"),
    (import_direction, "ukd_core.projector", "def f():\n    from .run import data"),
    (import_direction, "ukd_core.testing.__init__", "from ..run import data"),
    (import_direction, "ukd_core.plugins", "import ukd_adapters.bert"),
    (import_direction, "ukd_core.testing.projector", "from ukd_plugins.projectors import attention"),
    (import_direction, "ukd_core.run.distill", "from importlib import import_module\nimport_module('ukd_plugins.x')"),
    (import_direction, "ukd_core.run.distill", "from ukd_core.cli import main"),
    (import_direction, "ukd_core.cli", "import plugins.plugin"),
    (import_direction, "ukd_adapters.bert", "from ukd_core.run.data import read_data"),
    (import_direction, "ukd_adapters.bert", "from ukd_core.plugins import load_registry"),
    (import_direction, "ukd_adapters.bert", "import ukd_plugins"),
    (import_direction, "ukd_plugins.projectors.fixed", "from ukd_core.projector import mix"),
    (only_public_names, "ukd_plugins.projectors.fixed", "from ukd_core import check_stacks"),
    (short_functions, "ukd_core.spec", "def f():\n" + "    x = 1\n" * FUNCTION_LIMIT),
    (no_star_import, "ukd_core.spec", "from os import *"),
    (no_assert, "ukd_core.spec", "assert 1"),
    (no_print, "ukd_core.spec", "print(1)"),
    (no_stub, "ukd_core.spec", "raise NotImplementedError('later')"),
], ids=lambda value: getattr(value, "__name__", None))
def test_rule_sees_what_breaks_it(rule: Rule, module: str, source: str) -> None:
    assert len(rule(module, ast.parse(source))) == 1


@pytest.mark.parametrize(("module", "source"), [
    ("ukd_core.cli", "from ukd_core.run.distill import distill\nprint(1)"),
    ("ukd_core.run.distill", "from ukd_core.plugins import load_registry\nfrom .data import read_data"),
    ("ukd_core.run.__init__", "from .data import read_data"),
    ("ukd_core.testing.projector", "from ukd_core.projector import Projector\nassert Projector"),
    ("ukd_plugins.plugin", "from ukd_core import Projector, hookimpl, spec\nfrom ukd_plugins.terms import layer_kd\n"
                           "from ukd_core.errors import InputError\nimport torch\nfrom .terms import layer_kd"),
])
def test_rules_leave_good_code_alone(module: str, source: str) -> None:
    assert [found for rule in RULES for found in rule(module, ast.parse(source))] == []


def test_files_are_short_and_named_for_what_they_hold() -> None:
    files = [path for folder in (*PACKAGES.values(), ROOT / "tests", ROOT / "benchmarks", ROOT / "examples")
             for path in folder.rglob("*.py")]
    assert len(files) > 20
    assert [path.name for path in files if len(path.read_text(encoding="utf-8").splitlines()) > FILE_LIMIT] == []
    assert [path for path in files if path.stem in ("utils", "util", "misc", "helpers", "common")] == []


def test_tests_import_the_plugins_by_their_installed_name() -> None:
    # With the folder's name every class would exist twice, and isinstance would fail at random.
    wrong = re.compile(r"^\s*(from|import) plugins\b", re.MULTILINE)
    assert wrong.search("    from plugins.terms import x")
    folders = (ROOT / "tests", ROOT / "benchmarks", ROOT / "examples")
    assert [path for folder in folders for path in folder.rglob("*.py")
            if wrong.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("module", ["ukd_core", "ukd_core.errors", "ukd_core.hookspecs", "ukd_core.spec",
                                    "ukd_core.plugins"])
def test_light_modules_load_no_heavy_library(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{'torch', 'transformers', 'datasets', 'numpy'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
