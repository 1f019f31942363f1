"""One fake plug-in for each way of being broken; each is answered with one line that names it."""

from __future__ import annotations

import pytest
from broken_plugins import BROKEN, HEAD, MINE
from fake_plugins import Fakes, projector

from ukd_core.errors import DuplicateNameError, InputError, PluginLoadError
from ukd_core.plugins import load_registry


@pytest.mark.parametrize("case", BROKEN)
def test_asked_for_by_name_it_raises_one_line(case: str, fakes: Fakes) -> None:
    body, text = BROKEN[case]
    fakes.module("broken", body)
    with pytest.raises(PluginLoadError) as caught:
        load_registry(["broken"], entry_points=False)
    assert str(caught.value) == f"plug-in 'broken': {text}"


@pytest.mark.parametrize("case", [case for case in BROKEN if not case.startswith("import")])
def test_found_in_a_distribution_it_is_named_with_version_and_nothing_of_it_stays(
        case: str, fakes: Fakes, caplog: pytest.LogCaptureFixture) -> None:
    body, text = BROKEN[case]
    module = fakes.distribution("ukd-broken", "1.2", "cracked", body)
    fakes.distribution("ukd-sound", "0.3", "sound", projector("Fine", "fine"))
    registry = load_registry()
    line = f"plug-in 'cracked' (ukd-broken 1.2): {text.replace('broken.', module + '.')}"
    assert [str(problem) for problem in registry.problems] == [line]
    assert caplog.messages == [line]
    assert list(registry.projectors) == ["fine"]
    assert [len(catalogue) for catalogue in registry.catalogues] == [0, 0, 1, 0, 0, 0]
    assert [str(origin) for origin in registry.plugins] == ["plug-in 'sound' (ukd-sound 0.3)"]


def test_good_half_of_a_broken_plugin_is_not_registered(fakes: Fakes) -> None:
    fakes.file("half", MINE + HEAD)
    registry = load_registry(folder=fakes.folder, entry_points=False)
    assert list(registry.projectors) == []
    assert len(registry.problems) == 1


def test_missing_module_of_a_distribution_says_how_to_go_on(fakes: Fakes) -> None:
    fakes.distribution("ukd-gone", "2.0", "gone", None)
    (problem,) = load_registry().problems
    assert str(problem) == ("plug-in 'gone' (ukd-gone 2.0): could not be imported: ModuleNotFoundError: No module "
                            "named 'ukd_gone_module'. Install what it lacks, or leave it out with "
                            "UKD_DISABLE_PLUGINS=gone.")


def test_two_things_of_one_name_in_one_plugin(fakes: Fakes) -> None:
    fakes.module("twins", MINE.replace("[Mine]", "[Mine, type('Other', (Mine,), {'__module__': 'twins'})]"))
    with pytest.raises(DuplicateNameError) as caught:
        load_registry(["twins"], entry_points=False)
    assert str(caught.value) == ("plug-in 'twins': two projectors have the name 'mine': twins.Mine and twins.Other. "
                                 "Rename one of them.")


def test_file_that_does_not_exist(fakes: Fakes) -> None:
    path = fakes.root / "nowhere.py"
    with pytest.raises(PluginLoadError) as caught:
        load_registry([str(path)], entry_points=False)
    assert str(caught.value) == f"plug-in 'nowhere': expected a Python file '{path}', got nothing there."


@pytest.mark.parametrize(("name", "found"), [("absent", "nothing there"), ("a.txt", "a file")])
def test_folder_that_is_none(name: str, found: str, fakes: Fakes) -> None:
    (fakes.root / "a.txt").touch()
    with pytest.raises(InputError) as caught:
        load_registry(folder=fakes.root / name, entry_points=False)
    assert str(caught.value) == f"plug-in folder '{fakes.root / name}': expected a folder, got {found}."


def test_plugin_object_that_cannot_be_inspected(fakes: Fakes) -> None:
    fakes.distribution("ukd-odd", "1", "odd", """
class Odd:
    @property
    def hook(self):
        raise ValueError("no")

odd = Odd()
""", attribute=":odd")
    (problem,) = load_registry().problems
    assert str(problem) == "plug-in 'odd' (ukd-odd 1): could not be checked: ValueError: no."
