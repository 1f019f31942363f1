"""Methods are checked against the terms that all plug-ins together offer."""

from __future__ import annotations

import pytest
from fake_plugins import Fakes

from ukd_core.errors import DuplicateNameError, PluginLoadError
from ukd_core.plugins import load_registry

TERM = """
from ukd_core import Options, Term, hookimpl


class Choices(Options):
    power: int = 2


class Loss(Term):
    name = "{name}"
    Options = Choices

    def forward(self, batch):
        return batch.student.logits.pow(self.options.power).mean()


@hookimpl
def ukd_register_terms():
    return [Loss]
"""
METHOD = """
from ukd_core import Method, Phase, TermSpec, hookimpl


@hookimpl
def ukd_register_methods():
    return [Method(name="{name}", summary="", source="", phases={phases})]
"""


def method(name: str, *phases: str) -> str:
    return METHOD.format(name=name, phases=f"({', '.join(phases)},)")


def phase(share: float, term: str, options: str = "{}") -> str:
    return f"Phase(name='p{share}', share={share}, terms=(TermSpec(term='{term}', options={options}),))"


def test_method_may_use_terms_of_a_plugin_that_is_loaded_later(fakes: Fakes) -> None:
    fakes.file("a", method("squares", phase(0.7, "loss", "{'power': 4}"), phase(0.1, "loss"), phase(0.2, "loss")))
    fakes.file("b", TERM.format(name="loss"))
    registry = load_registry(folder=fakes.folder, entry_points=False)
    assert registry.problems == ()
    assert registry.methods.lookup("squares").phases[0].terms[0].options == {"power": 4}


@pytest.mark.parametrize(("phases", "problem"), [
    ([phase(0.5, "loss"), phase(0.25, "loss")], "method 'm' expected phase shares that sum to 1, got 0.75."),
    ([phase(0.5, "loss"), phase(0.75, "loss")], "method 'm' expected phase shares that sum to 1, got 1.25."),
    ([phase(0.5, "loss"), phase(0.5, "los")],
     "method 'm', phase 'p0.5': no term 'los'. Did you mean 'loss'? Available: loss."),
    ([phase(1, "loss", "{'pover': 3}")],
     "method 'm', phase 'p1': term 'loss': no option 'pover'. Did you mean 'power'? Available: power."),
    ([phase(1, "loss", "{'power': 'x'}")],
     "method 'm', phase 'p1': term 'loss': option 'power' has a wrong value: Input should be a valid integer, unable "
     "to parse string as an integer, got 'x'."),
])
def test_preset_that_cannot_work(phases: list[str], problem: str, fakes: Fakes) -> None:
    fakes.module("terms", TERM.format(name="loss"))
    fakes.module("presets", method("m", *phases))
    with pytest.raises(PluginLoadError) as caught:
        load_registry(["terms", "presets"], entry_points=False)
    assert str(caught.value) == f"plug-in 'presets': {problem}"


def test_removal_of_a_plugin_reaches_the_methods_that_used_its_terms(fakes: Fakes) -> None:
    fakes.file("a", method("uses-loss", phase(1, "loss")))
    fakes.file("b", TERM.format(name="loss") + method("bad", phase(0.5, "loss")))
    fakes.file("c", TERM.format(name="other") + method("uses-other", phase(1, "other")))
    registry = load_registry(folder=fakes.folder, entry_points=False)
    assert [str(problem) for problem in registry.problems] == [
        "plug-in 'b': method 'bad' expected phase shares that sum to 1, got 0.5.",
        "plug-in 'a': method 'uses-loss', phase 'p1': no term 'loss'. Available: other."]
    assert [origin.plugin for origin in registry.plugins] == ["c"]
    assert (list(registry.terms), list(registry.methods)) == (["other"], ["uses-other"])


def test_contested_term_is_blamed_on_those_who_offer_it(fakes: Fakes) -> None:
    fakes.file("a", TERM.format(name="loss"))
    fakes.file("b", TERM.format(name="loss"))
    fakes.file("c", method("m", phase(1, "loss")))
    registry = load_registry(folder=fakes.folder, entry_points=False)
    (problem,) = registry.problems
    assert isinstance(problem, DuplicateNameError)
    assert list(registry.methods) == ["m"]
