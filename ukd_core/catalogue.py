"""What the loaded plug-ins offer, by kind and name; read-only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ukd_core.errors import DuplicateNameError, PluginError, UnknownNameError
from ukd_core.spec import nearest

if TYPE_CHECKING:
    from ukd_core.layer_source import LayerSource
    from ukd_core.method import Method
    from ukd_core.output_space import OutputSpace
    from ukd_core.projector import Projector
    from ukd_core.pseudo_head import PseudoHead
    from ukd_core.term import Term

T = TypeVar("T")


@dataclass(frozen=True)
class Origin:
    """Where something was registered from; its text names the plug-in in every message."""

    plugin: str
    """The entry point's name, the module's name or the file's name without ``.py``."""
    distribution: str | None = None
    """The installed distribution; None for a module or a file."""
    version: str | None = None

    def __str__(self) -> str:
        package = " ".join(part for part in (self.distribution, self.version) if part)
        return f"plug-in '{self.plugin}'" + (f" ({package})" if package else "")


class Catalogue(Mapping[str, T], Generic[T]):
    """All things of one kind by name, in sorted order. A name that two plug-ins claim is not in it.

    Args:
        kind: What they are called in messages: "projector", "method", …
        items: Each thing with where it comes from.
        contested: The error for each name that more than one plug-in claims.
        notes: Sentences on plug-ins that are broken or disabled and so may lack here.
    """

    def __init__(self, kind: str, items: Mapping[str, tuple[T, Origin]],
                 contested: Mapping[str, DuplicateNameError] | None = None, notes: tuple[str, ...] = ()) -> None:
        self.kind = kind
        self._items = dict(sorted(items.items()))
        self._contested = dict(contested or {})
        self.notes = notes

    def lookup(self, name: str) -> T:
        """Give what is registered under `name`; called for every name that a user writes.

        Raises:
            UnknownNameError: nothing has this name; the text offers the nearest names.
            DuplicateNameError: several plug-ins claim it; the text names them.
        """
        self._refuse_unknown(name)
        return self._items[name][0]

    def origin(self, name: str) -> Origin:
        """Say which plug-in offers `name`; raises as `lookup` does."""
        self._refuse_unknown(name)
        return self._items[name][1]

    def _refuse_unknown(self, name: str) -> None:
        if name in self._contested:
            error = self._contested[name]
            raise DuplicateNameError(error.where, error.problem, error.remedy)
        if name not in self._items:
            remedy = " ".join((nearest(name, self), *self.notes))
            raise UnknownNameError(f"{self.kind} '{name}'", f"no such {self.kind}", remedy)

    def __getitem__(self, name: str) -> T:
        return self._items[name][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"Catalogue({self.kind!r}, {list(self)})"


@dataclass(frozen=True)
class Registry:
    """Everything that `ukd_core.plugins.load_registry` found. Made once a run; nothing changes it afterwards."""

    layer_sources: Catalogue[type[LayerSource]]
    pseudo_heads: Catalogue[type[PseudoHead]]
    projectors: Catalogue[type[Projector]]
    terms: Catalogue[type[Term]]
    output_spaces: Catalogue[type[OutputSpace]]
    methods: Catalogue[Method]
    problems: tuple[PluginError, ...]
    """What is broken among the plug-ins that were merely discovered."""
    plugins: tuple[Origin, ...]
    """The plug-ins in use, in the order in which they were loaded."""

    @property
    def catalogues(self) -> tuple[Catalogue[Any], ...]:
        """All six, for listings."""
        return (self.layer_sources, self.pseudo_heads, self.projectors, self.terms, self.output_spaces, self.methods)

    def source_for(self, model_type: str) -> type[LayerSource]:
        """Give the adapter that reads a checkpoint; called when a model is loaded without naming its adapter.

        Args:
            model_type: As config.json of the checkpoint has it.

        Raises:
            UnknownNameError: no adapter reads it; the text lists the model types that are read.
            DuplicateNameError: several adapters read it; the text names them.
        """
        readers = {name: source for name, source in self.layer_sources.items() if model_type in source.model_types}
        if len(readers) > 1:
            claims = " and ".join(f"adapter '{name}' of {self.layer_sources.origin(name)}" for name in readers)
            raise DuplicateNameError(f"model type '{model_type}'", f"read by {claims}", "Name the adapter to use.")
        by_type = {kind: source for source in self.layer_sources.values() for kind in source.model_types}
        if model_type not in by_type:
            remedy = " ".join((nearest(model_type, by_type), *self.layer_sources.notes))
            raise UnknownNameError(f"model type '{model_type}'", "no adapter reads it", remedy)
        return by_type[model_type]
