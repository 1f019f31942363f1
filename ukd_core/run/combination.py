"""Methods by name, also combined with output-space matching: ``HOST+universal``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ukd_core.errors import InputError

if TYPE_CHECKING:
    from ukd_core.method import Method, Phase
    from ukd_core.plugins import Registry

SUFFIX = "+universal"


def find_method(name: str, registry: Registry) -> Method:
    """The registered method of a name; ``HOST+universal`` is the host with its layers matched in the output space.

    Every term of the host is asked what takes its place there (`Term.in_output_space`); phases, shares and all other
    terms stay the host's. Source: Wu et al., Universal-KD, EMNLP 2021, which says of itself that it combines with
    other methods; what a combination looks like is inferred.

    Raises:
        UnknownNameError: nobody registers the host.
        InputError: the host has no layers to match.
    """
    host = registry.methods.lookup(name.removesuffix(SUFFIX))
    if not name.endswith(SUFFIX):
        return host
    combined = _combined(host, registry)
    if combined is None:
        raise InputError(f"method '{name}'", "expected a host that matches layers or lets scores grow, got "
                                             f"'{host.name}'", f"Hosts: {', '.join(hosts(registry))}.")
    return combined


def hosts(registry: Registry) -> list[str]:
    """Names of the methods that can be combined."""
    return [name for name, method in registry.methods.items() if _combined(method, registry) is not None]


def _combined(host: Method, registry: Registry) -> Method | None:
    phases = tuple(_phase(phase, registry) for phase in host.phases)
    if phases == host.phases:
        return None
    return host.model_copy(update={
        "name": host.name + SUFFIX, "phases": phases,
        "summary": f"{host.name} with its layers matched in the output space",
        "source": f"{host.source} Combined with Universal-KD (Wu et al., EMNLP 2021); the combination is inferred."})


def _phase(phase: Phase, registry: Registry) -> Phase:
    terms = [new for spec in phase.terms for new in registry.terms.lookup(spec.term).in_output_space(spec)]
    return phase.model_copy(update={"terms": tuple(terms)})
