"""Whose code was running when something went wrong in the middle of a run."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from ukd_core.errors import PluginError, ShapeError, UKDError, of_the_machine
from ukd_core.layer_source import LayerSource
from ukd_core.plugin_checks import describe
from ukd_core.projector import Projector
from ukd_core.pseudo_head import PseudoHead
from ukd_core.term import Term

if TYPE_CHECKING:
    from ukd_core.catalogue import Registry

WORDS: dict[type, str] = {LayerSource: "adapter", PseudoHead: "pseudo head", Projector: "projector", Term: "term"}
"""What plug-ins offer that runs in a training step, and what messages call it."""
PARTS = tuple(WORDS)


@contextmanager
def plugins_named(registry: Registry) -> Iterator[None]:
    """Within the block an error from a plug-in's code is one line that names the plug-in, its part, place and step.

    What the user can mend, a file that cannot be read or written, and what the machine lacks are nobody's fault; they
    stay as they are, and so does what comes from other code.

    Args:
        registry: Says which plug-in offers what.

    Raises:
        PluginError: the code of an adapter, pseudo head, projector or term raised something.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) or of_the_machine(error) or (
                isinstance(error, UKDError) and not isinstance(error, ShapeError)):
            raise
        found = _blamed(error, registry)
        if found is None:
            raise
        raise found from error


def described(part: object, registry: Registry) -> str:
    """A part as messages name it: ``projector 'attention' of plug-in 'mine' (mine 1.0)``."""
    return f"{_named(part)} of {_origin(part, registry)}"


def _named(part: object) -> str:
    return f"{WORDS[_kind(part)]} '{getattr(part, 'name', type(part).__name__)}'"


def _origin(part: object, registry: Registry) -> str:
    offered = next(each for each in registry.catalogues if each.kind == WORDS[_kind(part)])
    name = str(getattr(part, "name", ""))
    return str(offered.origin(name)) if name in offered else f"module '{type(part).__module__}'"


def _blamed(error: Exception, registry: Registry) -> PluginError | None:
    """The error in words; None where no plug-in's code was running."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    part = next((part for frame in reversed(frames) if isinstance(part := frame.f_locals.get("self"), PARTS)), None)
    if part is None:
        return None
    said = error.problem if isinstance(error, ShapeError) else f"raised {describe(error)} ({_line(error, part)})"
    return PluginError(_origin(part, registry), f"{_named(part)}{_step(frames)}: {said}",
                       f"Try its laws: ukd plugins check {getattr(part, 'name', '')}")


def _kind(part: object) -> type:
    return next(kind for kind in PARTS if isinstance(part, kind))


def _line(error: Exception, part: object) -> str:
    """The last line of the part's own that was running."""
    places = [f"{Path(frame.f_code.co_filename).name}, line {line}"
              for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_locals.get("self") is part]
    return places[-1]


def _step(frames: list[FrameType]) -> str:
    """Where in the training it was; empty before and after it."""
    from ukd_core.run.trainer import DistillationTrainer
    owners = [frame.f_locals.get("self") for frame in frames]
    return next((f" in {owner.place()}" for owner in owners if isinstance(owner, DistillationTrainer)), "")
