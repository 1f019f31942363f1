"""A crowd: a hundred installed plug-ins, twenty of them broken, each in its own way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from broken_plugins import BROKEN, METHOD
from fake_plugins import Fakes, adapter, projector

from ukd_core import BuildContext, LayerStates, TermInput, TermSetup
from ukd_core.plugins import Registry, load_registry

SOUND, CRACKED = 80, 20
HEAD = """
from ukd_core import PseudoHead, hookimpl


class Head(PseudoHead):
    name = "head-{number}"

    def forward(self, states):
        return states[:, :self.size]

    def absorb_standardisation(self, mean, deviation):
        pass


@hookimpl
def ukd_register_pseudo_heads():
    return [Head]
"""
TERM = """
from ukd_core import Term, hookimpl


class Sum(Term):
    name = "term-{number}"

    def forward(self, batch):
        return {number} * batch.student.logits.sum()


@hookimpl
def ukd_register_terms():
    return [Sum]
"""


def sound(number: int) -> str:
    """Source of a plug-in that works; five kinds take turns."""
    kind = number % 5
    if kind == 0:
        return projector(f"P{number}", f"projector-{number}")
    if kind == 1:
        return adapter(f"A{number}", f"adapter-{number}", (f"type-{number}",))
    if kind == 2:
        return TERM.format(number=number)
    if kind == 3:  # needs the term of its neighbour, which another distribution offers
        return (METHOD.format(result="[PRESET]").replace('"preset"', f'"method-{number}"')
                .replace('"t"', f'"term-{number - 1}"'))
    return HEAD.format(number=number)


@pytest.fixture
def crowd(fakes: Fakes) -> Fakes:
    """The hundred, each a distribution of its own."""
    cracked = iter(list(BROKEN.values())[:CRACKED])
    for number in range(SOUND + CRACKED):
        if number % 5 == 4:
            fakes.distribution(f"ukd-cracked-{number}", f"{number}.1", f"cracked-{number}", next(cracked)[0])
    for number in range(SOUND):
        fakes.distribution(f"ukd-sound-{number}", f"0.{number}", f"sound-{number}", sound(number))
    return fakes


def test_twenty_are_broken_in_twenty_ways() -> None:
    bodies = [body for body, _ in list(BROKEN.values())[:CRACKED]]
    assert len(set(bodies)) == len(bodies) == CRACKED


def test_eighty_work_and_twenty_are_named(crowd: Fakes, caplog: pytest.LogCaptureFixture) -> None:
    registry = load_registry()
    assert sorted(str(origin) for origin in registry.plugins) == sorted(
        f"plug-in 'sound-{number}' (ukd-sound-{number} 0.{number})" for number in range(SOUND))
    assert [sum(name.startswith(kind) for catalogue in registry.catalogues for name in catalogue)
            for kind in ("projector-", "adapter-", "term-", "method-", "head-")] == [16] * 5
    lines = [str(problem) for problem in registry.problems]
    assert caplog.messages == lines
    for number, (_, text) in zip(range(4, SOUND + CRACKED, 5), list(BROKEN.values())[:CRACKED], strict=True):
        (line,) = [line for line in lines if line.startswith(f"plug-in 'cracked-{number}' (ukd-cracked-{number} "
                                                             f"{number}.1): ")]
        problem = text.replace("broken.", f"ukd_cracked_{number}_module.").split(". ")[0]
        assert problem.rstrip(".") in line
    assert len(lines) == CRACKED
    for number in range(SOUND):
        use(registry, number)


def use(registry: Registry, number: int) -> None:
    """Look a plug-in's product up by name and let it work."""
    stack = torch.ones(2, 3, 2)
    if number % 5 == 0:
        assert registry.projectors.lookup(f"projector-{number}")()(stack, stack).weights.eq(0.5).all()
    elif number % 5 == 1:
        kind = registry.layer_sources.lookup(f"adapter-{number}")
        assert registry.source_for(f"type-{number}") is kind
        context = BuildContext(space=None, texts=(), teacher=None, max_length=8, seed=0)  # type: ignore[arg-type]
        assert kind.build(kind.Options(), context).num_layers == 1
    elif number % 5 == 2:
        setup = TermSetup(space=None, student_widths=(), teacher_layers=1, temperature=None,  # type: ignore[arg-type]
                          projector=None, make_projector=None, make_head=None)  # type: ignore[arg-type]
        batch = TermInput(LayerStates((), stack[0]), stack[0, 0], stack[0, 0].bool(), None)
        assert registry.terms.lookup(f"term-{number}")(None, setup)(batch) == 6 * number
    elif number % 5 == 3:
        (phase,) = registry.methods.lookup(f"method-{number}").phases
        assert phase.terms[0].term in registry.terms
    else:
        assert registry.pseudo_heads.lookup(f"head-{number}")(2, 1)(stack[0]).shape == (3, 1)


def test_listing_names_all_hundred(crowd: Fakes) -> None:
    done = run(crowd.root, "-m", "ukd_core.cli", "plugins")
    assert done.returncode == 0
    for number in range(SOUND):
        assert f"plug-in 'sound-{number}' (ukd-sound-{number} 0.{number})" in done.stdout
    assert sum(line.startswith("broken: plug-in 'cracked-") for line in done.stdout.splitlines()) == CRACKED
    assert sum(line.startswith("plug-in 'cracked-") for line in done.stderr.splitlines()) == CRACKED


@pytest.mark.parametrize("arguments", [("--help",), ("distill", "--help"), ("plugins", "--help")])
def test_help_imports_no_plugin(arguments: tuple[str, ...], crowd: Fakes) -> None:
    code = (f"import sys\nfrom ukd_core.cli import main\nsys.argv = ['ukd', *{arguments!r}]\ntry:\n    main()\n"
            "finally:\n    sys.stderr.write(repr([name for name in sys.modules if name.endswith('_module')]))")
    done = run(crowd.root, "-c", code)
    assert (done.returncode, done.stderr) == (0, "[]")
    assert "Usage" in done.stdout


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python with the crowd on its path."""
    return subprocess.run([sys.executable, *arguments], env={**os.environ, "PYTHONPATH": str(root)},
                          capture_output=True, text=True, check=False)
