"""Which assistants a method makes by itself, and how a recipe names others."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from ukd_core import Method, Options, Phase, Recipe, TermSpec
from ukd_core.errors import InputError
from ukd_core.plugins import Registry
from ukd_core.run.assistants import check_default_chain, default_chain
from ukd_core.run.sources import SourcePlan, plan_source

TOLD = {"teacher": "bert", "student": "cnn", "data": "d.csv", "output": "o"}


@pytest.mark.parametrize(("layers", "count", "depths"), [
    (12, 1, [6]), (6, 1, [3]), (7, 1, [4]), (12, 2, [9, 6]), (12, 3, [10, 8, 6]), (1, 1, [1]), (2, 1, [1])])
def test_assistants_are_spaced_evenly_down_to_half_of_the_teacher(registry: Registry, tmp_path: Path, layers: int,
                                                                  count: int, depths: list[int]):
    teacher = plan_source("bert:layers=9,hidden=64", registry, tmp_path, "teacher")
    chain = default_chain(teacher, layers, count)
    assert chain == tuple(f"bert:layers={depth},init=teacher-lower" for depth in depths)
    assert [plan_source(text, registry, tmp_path, "assistant").options.layers for text in chain] == depths


def test_where_nothing_can_be_copied_the_teachers_other_options_hold(registry: Registry, tmp_path: Path):
    teacher = plan_source("cnn:hidden=8,layers=4,lowercase=false", registry, tmp_path, "teacher")
    assert default_chain(teacher, 4, 1) == ("cnn:layers=2,lowercase=false,hidden=8",)


def test_an_adapter_without_layers_needs_assistants_by_name():
    teacher = SourcePlan("flat", SimpleNamespace(name="flat", Options=Options), Options(), None)  # type: ignore[arg-type]
    check_default_chain(teacher, "none", 0)
    with pytest.raises(InputError) as refused:
        check_default_chain(teacher, "takd", 1)
    assert str(refused.value) == ("method 'takd': expected a teacher whose adapter has the option layers, to make an "
                                  "assistant of fewer, got adapter 'flat'. Name one with --assistants.")


@pytest.mark.parametrize(("told", "read"), [
    ("bert:layers=2,hidden=64,cnn", ("bert:layers=2,hidden=64", "cnn")),
    (["cnn", "bert:layers=1"], ("cnn", "bert:layers=1")), ("", ()), ((), ())])
def test_a_recipe_names_assistants(told: object, read: tuple[str, ...]):
    recipe = Recipe.make({**TOLD, "assistants": told})
    assert recipe.assistants == read
    assert Recipe.make(recipe.written()).assistants == read


def test_folders_of_assistants_are_written_so_that_they_are_found_from_anywhere(tmp_path: Path,
                                                                                monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "middle").mkdir()
    monkeypatch.chdir(tmp_path)
    written = Recipe.make({**TOLD, "assistants": "middle,cnn"}).written()
    assert written["assistants"] == [str(tmp_path / "middle"), "cnn"]


def test_a_method_has_no_assistants_unless_it_says_so():
    phase = Phase(name="p", terms=(TermSpec(term="hard-label"),))
    assert Method(name="m", summary="s", source="s", phases=(phase,)).assistants == 0
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        Method(name="m", summary="s", source="s", phases=(phase,), assistants=-1)
