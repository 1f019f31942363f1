"""A case for anything that is registered, made from its class and its options alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ukd_core.catalogue import Catalogue, Registry
from ukd_core.errors import InputError, UnknownNameError
from ukd_core.layer_source import LayerSource
from ukd_core.output_space import OutputSpace
from ukd_core.projector import Projector
from ukd_core.pseudo_head import PseudoHead
from ukd_core.spec import Spec, nearest, parse_spec, read_options
from ukd_core.term import Term
from ukd_core.testing.checks import Case, exceptions_of
from ukd_core.testing.layer_source import LayerSourceCase
from ukd_core.testing.output_space import OutputSpaceCase
from ukd_core.testing.projector import ProjectorCase
from ukd_core.testing.pseudo_head import PseudoHeadCase
from ukd_core.testing.term import TermCase

SMALL: Mapping[str, Any] = {"layers": 2, "hidden": 8, "heads": 2, "intermediate": 12, "vocab_size": 320,
                            "embedding_width": 6, "width": 8}
"""Options of an adapter that are set where it has them, so that the kit is fast; `kit_options` of its class, a mapping,
says better, and options that the user gives come before both."""


def default_cases(registry: Registry, spec: str) -> list[Case]:
    """Cases for everything that is registered under a name; several where things of different kinds share it.

    Called by ``ukd plugins check``. What a class declares in `exceptions` is expected to fail, strictly where no
    options are given: a law may be kept with some options and broken with others.

    Args:
        registry: What is registered.
        spec: A name, with options as ``name:key=value,...`` where it takes any.

    Raises:
        UnknownNameError: nothing has this name.
        DuplicateNameError: several plug-ins claim it.
        InputError: the options do not fit, or the name is that of a method, which has no laws of its own.
    """
    parsed = parse_spec(spec)
    makers: list[tuple[Catalogue[Any], Callable[..., Case]]] = [
        (registry.layer_sources, _layer_source), (registry.pseudo_heads, _pseudo_head),
        (registry.projectors, _projector), (registry.terms, _term), (registry.output_spaces, _output_space)]
    cases = []
    for catalogue, make in makers:
        try:
            kind = catalogue.lookup(parsed.name)
        except UnknownNameError:
            continue
        cases.append(make(kind, parsed, registry, expected_failures=exceptions_of(kind), strict=not parsed.options))
    if not cases:
        _refuse(registry, parsed.name)
    return cases


def _refuse(registry: Registry, name: str) -> None:
    if name in registry.methods:
        terms = sorted({term.term for phase in registry.methods[name].phases for term in phase.terms})
        raise InputError(f"method '{name}'", "expected something with laws, got a preset of phases",
                         f"Check its terms: {', '.join(terms)}.")
    known = {known for catalogue in registry.catalogues[:-1] for known in catalogue}
    remedy = " ".join((nearest(name, known), *registry.methods.notes))
    raise UnknownNameError(f"'{name}'", "nothing of this name is registered", remedy)


def _options(kind: Any, spec: Spec, word: str, defaults: Mapping[str, Any] | None = None) -> Any:
    return read_options(kind.Options, {**(defaults or {}), **spec.options}, f"{word} '{spec.name}'")


def _no_options(spec: Spec, word: str) -> None:
    if spec.options:
        raise InputError(f"{word} '{spec.name}'", f"expected no options, got {sorted(spec.options)}", "Leave them out.")


def _layer_source(kind: type[LayerSource], spec: Spec, registry: Registry, **declared: Any) -> Case:
    declares: Mapping[str, Any] | None = getattr(kind, "kit_options", None)
    small = declares if declares is not None else {key: value for key, value in SMALL.items()
                                                   if key in kind.Options.model_fields}
    _options(kind, spec, LayerSourceCase.word, small)
    return LayerSourceCase(spec.name, kind, {**small, **spec.options}, registry=registry, **declared)


def _pseudo_head(kind: type[PseudoHead], spec: Spec, registry: Registry, **declared: Any) -> Case:
    _no_options(spec, PseudoHeadCase.word)
    return PseudoHeadCase(spec.name, kind, **declared)


def _projector(kind: type[Projector], spec: Spec, registry: Registry, **declared: Any) -> Case:
    return ProjectorCase(spec.name, partial(kind, _options(kind, spec, ProjectorCase.word)), **declared)


def _term(kind: type[Term], spec: Spec, registry: Registry, **declared: Any) -> Case:
    return TermCase(spec.name, kind, _options(kind, spec, TermCase.word), registry=registry, **declared)


def _output_space(kind: type[OutputSpace], spec: Spec, registry: Registry, **declared: Any) -> Case:
    _no_options(spec, OutputSpaceCase.word)
    return OutputSpaceCase(spec.name, kind, **declared)
