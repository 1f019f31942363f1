"""From what a user writes for a model to the adapter, its options and where its weights are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ukd_core.errors import InputError, UnknownNameError
from ukd_core.formats import MODEL
from ukd_core.run.embedded import embedded_path
from ukd_core.silence import quiet
from ukd_core.spec import parse_spec, read_options

if TYPE_CHECKING:
    from ukd_core.layer_source import BuildContext, LayerSource
    from ukd_core.output_space import OutputSpace
    from ukd_core.plugins import Registry

EMBEDDED = "embedded:"


@dataclass(frozen=True)
class SourcePlan:
    """A model before any weight is read."""

    text: str
    """As the user wrote it."""
    kind: type[LayerSource]
    options: Any
    location: str | None
    """Folder or hub name of existing weights; None for a model that is built."""

    def load(self, space: OutputSpace | None = None) -> LayerSource:
        """Read the existing weights; `space` puts a new classifier on them."""
        if self.location is None:
            raise InputError(f"model '{self.text}'", "expected existing weights, got an adapter's name",
                             "Name a folder or a hub model.")
        return self.kind.load(self.location, self.options, space)

    def start(self, context: BuildContext) -> LayerSource:
        """The model before it is trained: built new, or existing weights with a classifier for the space."""
        if self.location is None:
            return self.kind.build(self.options, context)
        stored, space = self.load(), context.space
        return stored if stored.label_names == space.labels and speaks(stored, space) else self.load(space)


def speaks(source: LayerSource, space: OutputSpace | type[OutputSpace]) -> bool:
    """Whether a stored classifier's scores have the meaning of the space; many checkpoints do not say."""
    return source.model.config.problem_type in (None, space.problem_type)


def plan_source(text: str, registry: Registry, cache: Path, side: str) -> SourcePlan:
    """Find the adapter of ``name[:options]``, a folder, a hub name ``org/name``, or ``embedded:name``.

    Args:
        text: As the user wrote it; ``adapter:from=LOCATION,...`` gives options to existing weights.
        registry: Where adapters are registered.
        cache: Folder for downloads.
        side: "teacher", "student" or "model", for error texts.

    Raises:
        UnknownNameError: neither an adapter nor a folder.
        InputError: the options or the folder are not what the adapter expects.
    """
    where = f"{side} '{text}'"
    if text.startswith(EMBEDDED) or Path(text).is_dir() or _is_hub_name(text):
        location = _local(text, cache)
        kind = registry.source_for(_model_type(location, where))
        return SourcePlan(text, kind, kind.Options(), location)
    spec = parse_spec(text)
    if "/" in spec.name:
        raise InputError(where, "no such folder, and neither an adapter's name nor a hub name org/name",
                         "Check the path.")
    try:
        kind = registry.layer_sources.lookup(spec.name)
    except UnknownNameError as error:
        raise UnknownNameError(where, "no adapter of this name and no such folder", error.remedy) from error
    options = dict(spec.options)
    location = options.pop("from", None)
    if location is None and "from" in spec.options:
        raise InputError(where, "expected a folder or a hub name after from=, got nothing",
                         "Name one, or leave it out.")
    checked = read_options(kind.Options, options, where)
    if location is None:
        return SourcePlan(text, kind, checked, None)
    local = _local(str(location), cache)
    model_type = _model_type(local, where)
    if model_type not in kind.model_types:
        raise InputError(where, f"expected a model of type {' or '.join(kind.model_types)}, got {model_type!r}")
    return SourcePlan(text, kind, checked, local)


def _local(text: str, cache: Path) -> str:
    """The folder (or hub name) that a location stands for; a run folder stands for its student."""
    if text.startswith(EMBEDDED):
        return str(embedded_path(text.removeprefix(EMBEDDED), cache))
    student = Path(text) / "student"
    return str(student) if (student / "config.json").is_file() else text


def _is_hub_name(text: str) -> bool:
    parts = text.split("/")
    return len(parts) == 2 and all(parts) and not text.startswith((".", "~")) and ":" not in text


def _model_type(location: str, where: str) -> str:
    if Path(location).is_dir():
        config = _read_config(Path(location) / "config.json", where)
    else:
        config = _fetch_config(location, where)
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise InputError(where, "config.json has no model_type", "Save the model with save_pretrained.")
    return model_type


def _read_config(path: Path, where: str) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(where, "expected a model folder with config.json, got a folder without it",
                         "Save the model with save_pretrained.")
    return MODEL.read(path, where)


def _fetch_config(name: str, where: str) -> dict[str, Any]:
    from transformers import PreTrainedConfig
    try:
        with quiet():
            config, _ = PreTrainedConfig.get_config_dict(name)
    except Exception as error:  # the hub client raises many kinds: offline, not found, gated, refused
        raise InputError(where, f"no such folder, and the hub did not give it ({type(error).__name__})",
                         "Check the name and the network, or give a folder.") from error
    return dict(config)
