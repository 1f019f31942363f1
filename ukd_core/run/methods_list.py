"""The registered methods, for the terminal and as the page docs/methods.md."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ukd_core.run.combination import SUFFIX, find_method, hosts
from ukd_core.run.table import WIDTH

if TYPE_CHECKING:
    from ukd_core.method import Method, TermSpec
    from ukd_core.plugins import Registry

NEEDS = {
    "labels": "labels", "known-labels": "labels", "teacher-scores": "the teacher's scores",
    "teacher-states": "the teacher's hidden states",
    "student-tokens": "the student's token states", "student-attentions": "the student's attention maps",
    "student-embeddings": "the student's token embeddings",
    "teacher-tokens": "the teacher's token states in every step",
    "teacher-attentions": "the teacher's attention maps in every step",
    "teacher-embeddings": "the teacher's token embeddings in every step",
}
"""What a term needs, in words."""

PAGE_HEAD = """\
# Methods

Made by `ukd methods --markdown` from the registered methods; a test compares the two. A method is data: phases of
weighted terms. `ukd distill --method NAME` runs one, the recipe key `phases` holds one of your own
([design](design.md)). What is cached of a teacher serves every method: scores always, hidden states where a term needs
them.
"""


def method_list(registry: Registry) -> str:
    """Every method with its phases, needs and source, as paragraphs of text."""
    return "\n\n".join("\n".join([
        f"{name}: {method.summary}", *(f"  {line}" for line in _phases(method)),
        f"  needs {_needs(method, registry)}", _filled(f"source: {method.source}")])
        for name, method in _listed(registry))


def methods_page(registry: Registry) -> str:
    """The same as Markdown, with how each was checked."""
    sections = []
    for name, method in _listed(registry):
        lines = [f"## {name}", "", _capital(method.summary) + ".", "",
                 *(f"- {_capital(line)}." for line in _phases(method)),
                 f"- Needs {_needs(method, registry)}.", f"- Source: {method.source}"]
        sections.append("\n".join([*lines, *([f"- Checked: {method.checked}"] if method.checked else [])]))
    return "\n".join([PAGE_HEAD, "\n\n".join(sections), ""])


def _listed(registry: Registry) -> Iterator[tuple[str, Method]]:
    """The registered methods, then what they combine to."""
    yield from registry.methods.items()
    for host in hosts(registry):
        yield host + SUFFIX, find_method(host + SUFFIX, registry)


def _phases(method: Method) -> Iterator[str]:
    if method.assistants:
        yield (f"before: {method.assistants} assistant{'s' if method.assistants > 1 else ''} between teacher and "
               "student, taught by logit-kd, unless the run names others")
    for phase in method.phases:
        yield f"{phase.name}, {phase.share:.0%} of the steps: " + " + ".join(map(weighted_term, phase.terms))


def weighted_term(spec: TermSpec) -> str:
    """A term with its weight, the points of a schedule included, and its options."""
    options = ",".join(f"{key}={value}" for key, value in spec.options.items())
    name = spec.key + (f" ({options})" if options else "")
    if not isinstance(spec.weight, tuple):
        return f"{spec.weight:.2g} {name}" if spec.weight < 100 else f"{spec.weight:g} {name}"
    return "[" + ", ".join(f"{weight:.2g} at {progress:.0%}" for progress, weight in spec.weight) + f"] {name}"


def _needs(method: Method, registry: Registry) -> str:
    needed = {need for phase in method.phases for spec in phase.terms for need in registry.terms[spec.term].needs}
    return ", ".join(dict.fromkeys(words for need, words in NEEDS.items() if need in needed)) or "nothing"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False,
                         break_on_hyphens=False)
