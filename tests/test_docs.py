"""What the documents say is so: names, options, shapes."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from documents import ROOT, blocks

import ukd_core
import ukd_core.testing
from ukd_core import Recipe, hookspecs
from ukd_core.cli import app
from ukd_core.run.combination import find_method
from ukd_core.run.methods_list import methods_page
from ukd_core.run.phases import check_phases, find_projector

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
         for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "tests/README.md"]}
PACKAGES = {"ukd_core": ROOT / "ukd_core", "ukd_adapters": ROOT / "ukd_adapters", "ukd_plugins": ROOT / "plugins"}
EVERYTHING = "\n".join(text for name, text in PAGES.items() if name != "CHANGELOG.md")
DOCUMENTED = frozenset(target for name, text in PAGES.items() if name.startswith("docs/reference/")
                       for target in re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE))
"""What the reference is made from: modules and single names."""
MACHINERY = ("ukd_core.run", "ukd_core.testing")
"""Packages of which only the modules in the reference are for everybody."""


def test_the_phases_of_the_design_page_are_a_recipe(registry):
    (block,) = [block for block in blocks("docs/design.md") if block.language == "yaml"]
    told = {"teacher": "bert", "student": "cnn", "data": "d", "output": "o"}
    recipe = Recipe.make({**told, **yaml.safe_load(block.body)})
    assert recipe.phases is not None
    check_phases(recipe.phases, recipe, registry)
    assert [phase.name for phase in recipe.phases] == ["warm-up", "distil"]


def test_the_readme_names_everything_that_ships(registry):
    for catalogue in (registry.layer_sources, registry.methods, registry.projectors, registry.output_spaces):
        for name in catalogue:
            if catalogue.origin(name).distribution == "ukd":
                assert f"`{name}`" in README, f"README does not name the {catalogue.kind} {name}"


def test_the_page_of_methods_is_what_the_program_says(registry):
    assert PAGES["docs/methods.md"] == methods_page(registry), "ukd methods --markdown > docs/methods.md"


@pytest.mark.parametrize("document", sorted(PAGES))
def test_every_option_of_a_document_exists(document: str, registry):
    other = {"resume", "overwrite", "recipe", "plugin", "split", "examples", "help", "students", "methods", "seeds",
             "jobs", "markdown", "with_baseline", "alternatives", "no_speed", "latency_ms", "threads",
             "batch", "format", "no_check"}  # not keys of a recipe
    whole = re.sub(r"\\\n", " ", PAGES[document])  # a command may go on in the next line
    text = re.sub(r"\b(?:python|pip|torchrun|accelerate) [^`\n]*", "", whole)  # and these have options of their own
    flags = {flag.replace("-", "_") for flag in re.findall(r"(?<![\w-])--([a-z][a-z-]+)", text)}
    assert flags <= set(Recipe.model_fields) | other
    for name in re.findall(r"--method[ =]([a-z][\w+-]*)", text):
        assert find_method(name, registry)
    for name in re.findall(r'--projector[ =]"?([a-z][\w:=,\[\]-]*)', text):
        if not name.startswith("confidence"):  # the one of the tutorial
            assert find_projector(name, registry)


@pytest.mark.parametrize("document", sorted(set(PAGES) - {"CHANGELOG.md"}))
def test_files_that_a_document_names_exist(document: str):
    folders = "ukd_core|ukd_adapters|plugins|tests|docs|benchmarks|examples"
    for path in re.findall(rf"`((?:{folders})/[\w/.]+\.(?:py|md))`", PAGES[document]):
        assert (ROOT / path).is_file(), f"{document} names {path}"


def test_every_command_is_named():
    commands = [command.name for command in app.registered_commands] + [group.name for group in app.registered_groups]
    assert len(commands) >= 6
    for name in commands:
        assert f"{'make' if name == 'demo' else 'ukd'} {name}" in EVERYTHING


def test_every_environment_variable_is_explained():
    code = "\n".join(path.read_text(encoding="utf-8") for folder in PACKAGES.values() for path in folder.rglob("*.py"))
    variables = set(re.findall(r"\bUKD_[A-Z_]+\b", code))
    assert {"UKD_DISABLE_PLUGINS", "UKD_STRICT_PLUGINS", "UKD_TRACE_PLUGINS"} <= variables
    assert [name for name in sorted(variables) if name not in EVERYTHING] == []


def homes(module: str) -> Iterator[tuple[str, str]]:
    """Each public name of a package with the module that defines it; an alias or a table counts as its package's."""
    for name in import_module(module).__all__:
        item = getattr(import_module(module), name)
        home = getattr(item, "__module__", module)
        yield name, home if home.startswith("ukd_core") else f"ukd_core.{ukd_core._HOMES.get(name, 'hookspecs')}"


@pytest.mark.parametrize(("name", "home"), list(homes("ukd_core")))
def test_every_public_name_is_in_the_reference(name: str, home: str):
    assert {home, f"{home}.{name}"} & DOCUMENTED, f"no page of docs/reference shows {home}.{name}"
    overview = PAGES["docs/reference/index.md"]
    assert f"`{name}`" in overview, f"docs/reference/index.md does not name {name}"


def test_the_whole_kit_is_in_the_reference():
    assert "ukd_core.testing" in DOCUMENTED
    for name in ukd_core.testing.__all__:
        item = getattr(ukd_core.testing, name)
        if name.endswith("_CHECKS"):
            assert {check.__module__ for check in item} <= DOCUMENTED
            assert all(inspect.getdoc(check) for check in item)


def test_every_hook_is_documented():
    hooks = [name for name in vars(hookspecs) if name.startswith("ukd_register_")]
    assert len(hooks) == 6 and "ukd_core.hookspecs" in DOCUMENTED
    for name in hooks:
        assert inspect.getdoc(getattr(hookspecs, name))
        assert f"`{name}`" in PAGES["docs/writing_a_plugin.md"]


# --- Shapes -----------------------------------------------------------------------------------------------------------

SHAPE = re.compile(r"[Ss]hape|\((?:\.\.\.|[\w +·−]+),[^)]*\)|[Ss]calar")
"""The word, or axes in parentheses."""
REFERRING = re.compile(r"[Ss]hapes? .*\bas\b|\bsee `")
"""A docstring that leaves the shapes to another one."""


def speaks_of_tensors(annotation: ast.expr | None) -> bool:
    """Whether a tensor or an array is taken or given; not one that a callable takes."""
    if annotation is None:
        return False
    text = re.sub(r"Callable\[.*\]", "", ast.unparse(annotation))
    return re.search(r"\b(Tensor|Array|NDArray|ndarray)\b", text) is not None


def missing_shapes(function: ast.FunctionDef) -> list[str]:
    """The tensors of a function, by parameter or "return", of which its docstring does not state the shape."""
    text = ast.get_docstring(function) or ""
    tensors = [argument.arg for argument in [*function.args.args, *function.args.kwonlyargs]
               if speaks_of_tensors(argument.annotation)]
    if REFERRING.search(text):
        return []
    head, _, rest = text.partition("Args:\n")
    arguments, _, returned = rest.partition("Returns:\n")
    missing = []
    for name in tensors:
        own = re.search(rf"^ +{name}: (.*?)(?=^ +\w+: |^\w+:|\Z)", arguments, re.MULTILINE | re.DOTALL)
        if not SHAPE.search(own[1] if own else head):
            missing.append(name)
    given = re.search(r"^ +shape: ", arguments, re.MULTILINE)  # the caller says which
    if speaks_of_tensors(function.returns) and not (given or SHAPE.search(head + returned)):
        missing.append("return")
    return missing


def public_functions(tree: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node)
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node


def fields_without_shape(tree: ast.Module) -> Iterator[str]:
    for kind in (node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")):
        for field, after in zip(kind.body, [*kind.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign) and speaks_of_tensors(field.annotation):
                text = ast.unparse(after) if isinstance(after, ast.Expr) else ""
                if not SHAPE.search(text):
                    yield f"{kind.name}.{ast.unparse(field.target)}"


def documented_files() -> Iterator[tuple[str, Path]]:
    """Modules whose docstrings a plug-in's author reads."""
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            module = ".".join((package, *path.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__")
            listed = any(target == module or target.startswith(f"{module}.") for target in DOCUMENTED)
            if listed or not module.startswith(MACHINERY):
                yield module, path


def contract_methods() -> set[str]:
    """Methods of the contracts; what overrides one has its shapes from there."""
    names = set()
    for name in ("LayerSource", "PseudoHead", "Projector", "Term", "OutputSpace"):
        kind = getattr(ukd_core, name)
        names |= {method for method in vars(kind) if not method.startswith("_")}
    return names


@pytest.mark.parametrize(("module", "path"), list(documented_files()), ids=[name for name, _ in documented_files()])
def test_every_shape_is_stated(module: str, path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inherited = set() if module.startswith("ukd_core") else contract_methods()
    missing = {f"{function.name}, line {function.lineno}": found for function in public_functions(tree)
               if function.name not in inherited and (found := missing_shapes(function))}
    assert missing == {}
    assert list(fields_without_shape(tree)) == []


@pytest.mark.parametrize(("source", "missing"), [
    ('def f(x: Tensor) -> Tensor:\n    """Double.\n\n    Args:\n        x: Numbers.\n    """', ["x", "return"]),
    ('def f(x: Tensor) -> None:\n    """Look.\n\n    Args:\n        x: Shape (units, C).\n    """', []),
    ('def f(x: Tensor, y: Tensor) -> int:\n    """Count.\n\n    Args:\n        x: Shape (units,).\n        y: More."""',
     ["y"]),
    ('def f(x: Tensor) -> Tensor:\n    """Turn (units, width) into (units, C)."""', []),
    ('def f(x: Tensor) -> Tensor:\n    """Shapes as in `g`."""', []),
    ('def f(shape: Size) -> Tensor:\n    """Zeros.\n\n    Args:\n        shape: Its shape.\n    """', []),
    ('def f(count: int) -> str:\n    """Count."""', []),
])
def test_missing_shapes_are_seen(source: str, missing: list[str]):
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    assert missing_shapes(function) == missing
