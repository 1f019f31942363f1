"""Fake plug-ins, written the way strangers ship theirs: a distribution, a module or a file."""

from __future__ import annotations

import importlib
from pathlib import Path

ADAPTER = """
from ukd_core import LayerSource, Options, hookimpl


class {name}(LayerSource):
    name = "{kebab}"
    model_types = {types}
    Options = Options
    num_layers, widths, learning_rate = 1, (2,), 1e-3

    @classmethod
    def build(cls, options, context):
        return cls(None, None)

    @classmethod
    def load(cls, location, options, space=None):
        return cls(None, None)

    def forward(self, batch, needs=frozenset()):
        return None


@hookimpl
def ukd_register_layer_sources():
    return [{name}]
"""

PROJECTOR = """
from ukd_core import Projector, hookimpl


class {name}(Projector):
    name = "{kebab}"

    def weights(self, student, teacher):
        return student.new_ones(len(student), len(teacher), student.shape[1]) / len(teacher)


@hookimpl
def ukd_register_projectors():
    return [{name}]
"""


def adapter(name: str, kebab: str, types: tuple[str, ...]) -> str:
    """Source of a plug-in with one adapter."""
    return ADAPTER.format(name=name, kebab=kebab, types=types)


def projector(name: str, kebab: str) -> str:
    """Source of a plug-in with one projector."""
    return PROJECTOR.format(name=name, kebab=kebab)


class Fakes:
    """Writes plug-ins into one folder that is on `sys.path`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "folder"
        self.folder.mkdir()

    def module(self, name: str, body: str) -> str:
        """An importable module."""
        (self.root / f"{name}.py").write_text(body, encoding="utf-8")
        importlib.invalidate_caches()
        return name

    def file(self, name: str, body: str) -> Path:
        """A file in the folder of plug-ins."""
        path = self.folder / f"{name}.py"
        path.write_text(body, encoding="utf-8")
        return path

    def distribution(self, name: str, version: str, plugin: str, body: str | None, attribute: str = "") -> str:
        """An installed distribution with one entry point; its module is missing where `body` is None."""
        module = name.replace("-", "_") + "_module"
        info = self.root / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[ukd]\n{plugin} = {module}{attribute}\n", encoding="utf-8")
        if body is not None:
            self.module(module, body)
        importlib.invalidate_caches()
        return module
