"""Find plug-ins, load them one by one, and make the registry of what they offer.

What we ship comes through the same entry points as a stranger's package. Environment variables:
``UKD_DISABLE_PLUGINS=a,b`` leaves plug-ins out by name, ``UKD_STRICT_PLUGINS=1`` turns every problem into an error,
``UKD_TRACE_PLUGINS=1`` writes each hook call to stderr.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module, metadata, util
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from ukd_core import hookspecs
from ukd_core.catalogue import Catalogue, Origin, Registry
from ukd_core.errors import DuplicateNameError, InputError, PluginError, PluginLoadError
from ukd_core.plugin_checks import KINDS, Kind, check_method, describe, find_hooks, path_of, read_products

__all__ = ["Catalogue", "Origin", "Registry", "load_registry"]

_LOG = logging.getLogger("ukd")


def load_registry(modules: Sequence[str] = (), folder: str | Path | None = None, *,
                  entry_points: bool = True) -> Registry:
    """Load every plug-in and check what it offers; called once by each command, and by tests.

    A broken plug-in never stops another one. One that was merely discovered (entry point, file in the folder) is
    recorded in `Registry.problems` and logged as one warning; nothing of it is registered.

    Args:
        modules: Plug-ins asked for by name: importable modules, or paths of ``.py`` files.
        folder: A folder of plug-ins, one ``.py`` file each; files that start with an underscore are left out.
        entry_points: Whether installed distributions are searched (group ``ukd``).

    Raises:
        InputError: `folder` is not a folder.
        PluginError: a plug-in of `modules` is broken, or a name it offers is taken; with ``UKD_STRICT_PLUGINS=1``
            any problem.
    """
    loader = _Loader(disabled=_listed("UKD_DISABLE_PLUGINS"), strict=_is_set("UKD_STRICT_PLUGINS"),
                     trace=_is_set("UKD_TRACE_PLUGINS"))
    for candidate in _candidates(modules, folder, entry_points):
        loader.add(candidate)
    loader.drop_broken_methods()
    return loader.registry()


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "") not in ("", "0")


def _listed(variable: str) -> frozenset[str]:
    return frozenset(name.strip() for name in os.environ.get(variable, "").split(",") if name.strip())


@dataclass(frozen=True)
class _Candidate:
    """A plug-in before it is imported."""

    origin: Origin
    load: Callable[[], object]
    asked: bool


@dataclass(frozen=True)
class _Loaded:
    """A plug-in that passed its checks; `offers` has, for each kind, the things by name."""

    origin: Origin
    asked: bool
    plugin: object
    offers: dict[Kind, dict[str, Any]]


class _Loader:
    """Gathers plug-ins. Problems raise at once or are kept, by how the plug-in was found."""

    def __init__(self, disabled: frozenset[str], strict: bool, trace: bool) -> None:
        self.disabled, self.strict, self.trace = disabled, strict, trace
        self.manager = pluggy.PluginManager(hookspecs.GROUP)
        self.manager.add_hookspecs(hookspecs)
        self.loaded: list[_Loaded] = []
        self.problems: list[PluginError] = []
        self.notes: list[str] = []

    def add(self, candidate: _Candidate) -> None:
        """Import and check one plug-in."""
        if candidate.origin.plugin in self.disabled:
            self.notes.append(f"{candidate.origin} is disabled by UKD_DISABLE_PLUGINS.")
            return
        try:
            self._load(candidate)
        except PluginError as error:
            self._give_up(candidate.origin, candidate.asked, error)

    def _load(self, candidate: _Candidate) -> None:
        origin = candidate.origin
        remedy = ("Give an importable module or the path of a .py file." if candidate.asked else
                  f"Install what it lacks, or leave it out with UKD_DISABLE_PLUGINS={origin.plugin}.")
        with _blamed_on(origin, "could not be imported", remedy):
            plugin = candidate.load()
        for index, known in enumerate(self.loaded):
            if known.plugin is plugin:
                self.loaded[index] = replace(known, asked=known.asked or candidate.asked)
                return
        with _blamed_on(origin, "could not be checked"):
            offers = self._offers(origin, plugin)
        self.loaded.append(_Loaded(origin, candidate.asked, plugin, offers))

    def _offers(self, origin: Origin, plugin: object) -> dict[Kind, dict[str, Any]]:
        kinds = find_hooks(self.manager, origin, plugin)
        self.manager.register(plugin, name=str(id(plugin)))
        try:
            return {kind: read_products(origin, kind, self._caller(origin, kind, plugin)) for kind in kinds}
        except BaseException:
            self.manager.unregister(plugin)
            raise

    def _caller(self, origin: Origin, kind: Kind, plugin: object) -> Callable[[], Sequence[Any]]:
        def call() -> Sequence[Any]:
            if self.trace:
                sys.stderr.write(f"ukd: {origin}: {kind.hook}()\n")
            others = [other for other in self.manager.get_plugins() if other is not plugin]
            results: Sequence[Any] = self.manager.subset_hook_caller(kind.hook, others)()
            return results
        return call

    def _give_up(self, origin: Origin, asked: bool, error: PluginError) -> None:
        self.notes.append(f"{origin} failed to load: {error.problem}.")
        self._report(asked, error)

    def _report(self, asked: bool, error: PluginError) -> None:
        if asked or self.strict:
            raise error
        self.problems.append(error)
        _LOG.warning("%s", error)

    def drop_broken_methods(self) -> None:
        """Remove plug-ins whose methods cannot work; each removal may take terms away that others need."""
        settled = False
        while not settled:
            terms = {name: term for plugin in self.loaded for name, term in _offered(plugin, "terms").items()}
            settled = True
            for plugin in self.loaded:
                try:
                    for method in _offered(plugin, "methods").values():
                        check_method(plugin.origin, method, terms)
                except PluginError as error:
                    self.manager.unregister(plugin.plugin)
                    self.loaded = [other for other in self.loaded if other is not plugin]
                    self._give_up(plugin.origin, plugin.asked, error)
                    settled = False
                    break

    def registry(self) -> Registry:
        """Join what all plug-ins offer."""
        catalogues: dict[str, Any] = {kind.attribute: self._join(kind) for kind in KINDS}
        return Registry(**catalogues, problems=tuple(self.problems),
                        plugins=tuple(plugin.origin for plugin in self.loaded))

    def _join(self, kind: Kind) -> Catalogue[Any]:
        claims: dict[str, dict[int, tuple[Any, _Loaded]]] = {}
        for plugin in self.loaded:
            for name, item in plugin.offers.get(kind, {}).items():
                claims.setdefault(name, {}).setdefault(id(item), (item, plugin))
        items, contested = {}, {}
        for name, claimed in claims.items():
            (item, first), *others = claimed.values()
            if others:
                contested[name] = _contested(kind, name, list(claimed.values()))
                self._report(any(plugin.asked for _, plugin in claimed.values()), contested[name])
            else:
                items[name] = (item, first.origin)
        return Catalogue(kind.word, items, contested, tuple(self.notes))


def _offered(plugin: _Loaded, attribute: str) -> dict[str, Any]:
    return next((items for kind, items in plugin.offers.items() if kind.attribute == attribute), {})


def _contested(kind: Kind, name: str, claims: Sequence[tuple[Any, _Loaded]]) -> DuplicateNameError:
    texts = " and ".join(f"{plugin.origin} as {path_of(item)}" for item, plugin in claims)
    choices = " or ".join(plugin.origin.plugin for _, plugin in claims)
    return DuplicateNameError(f"{kind.word} '{name}'", f"offered by {texts}",
                              f"Leave one out with UKD_DISABLE_PLUGINS: {choices}.")


@contextmanager
def _blamed_on(origin: Origin, problem: str, remedy: str = "") -> Iterator[None]:
    """Turn whatever a plug-in's code raises, `sys.exit` included, into one line that names the plug-in."""
    try:
        yield
    except PluginError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginLoadError(str(origin), f"{problem}: {describe(error)}", remedy) from error


def _candidates(modules: Sequence[str], folder: str | Path | None, entry_points: bool) -> Iterator[_Candidate]:
    if entry_points:
        entries = metadata.entry_points(group=hookspecs.GROUP)
        found = {(_origin_of(entry), entry.value): entry for entry in entries}
        for origin, value in sorted(found, key=lambda key: (key[0].distribution or "", key[0].plugin, key[1])):
            yield _Candidate(origin, found[origin, value].load, asked=False)
    for module in modules:
        if module.endswith(".py"):
            yield _file_candidate(Path(module), asked=True)
        else:
            yield _Candidate(Origin(module), partial(import_module, module), asked=True)
    if folder is not None:
        for path in _files(Path(os.path.expanduser(folder))):
            yield _file_candidate(path, asked=False)


def _origin_of(entry: metadata.EntryPoint) -> Origin:
    try:
        name, version = (entry.dist.name, entry.dist.version) if entry.dist is not None else (None, None)
    except Exception:  # a damaged distribution has no readable METADATA; its plug-in may still work
        name, version = None, None
    return Origin(entry.name, name, version)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"plug-in folder '{folder}'", f"expected a folder, got {_what_is(folder)}")
    return sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))


def _what_is(path: Path) -> str:
    return "a file" if path.exists() else "nothing there"


def _file_candidate(path: Path, *, asked: bool) -> _Candidate:
    return _Candidate(Origin(path.stem), partial(_import_file, Path(os.path.expanduser(path)).resolve()), asked)


def _import_file(path: Path) -> ModuleType:
    """Import a file once; its classes need a place in `sys.modules`, where pydantic resolves their annotations."""
    name = f"ukd_file_{path.stem.replace('.', '_')}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise PluginLoadError(f"plug-in '{path.stem}'", f"expected a Python file '{path}', got nothing there")
    module = util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
