"""What the documents say is so: names, options, examples."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ukd_core import Recipe
from ukd_core.run.phases import check_phases

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")


def test_the_phases_of_the_design_page_are_a_recipe(registry):
    block = re.search(r"```yaml\n(.*?)```", DESIGN, re.DOTALL)
    assert block is not None
    recipe = Recipe.make({"teacher": "bert", "student": "cnn", "data": "d", "output": "o", **yaml.safe_load(block[1])})
    assert recipe.phases is not None
    check_phases(recipe.phases, recipe, registry)
    assert [phase.name for phase in recipe.phases] == ["warm-up", "distil"]


def test_the_readme_names_everything_that_ships(registry):
    for catalogue in (registry.layer_sources, registry.methods, registry.projectors, registry.output_spaces):
        for name in catalogue:
            assert f"`{name}`" in README, f"README does not name the {catalogue.kind} {name}"


def test_every_option_of_the_readme_exists():
    flags = {flag.replace("-", "_") for flag in re.findall(r"--([a-z][a-z-]+)", README)}
    assert flags <= set(Recipe.model_fields) | {"resume", "overwrite", "recipe", "plugin"}


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/design.md", "docs/results.md",
                                      "tests/README.md"])
def test_files_that_a_document_names_exist(document: str):
    text = (ROOT / document).read_text(encoding="utf-8")
    folders = "ukd_core|ukd_adapters|plugins|tests|docs|benchmarks|examples"
    for path in re.findall(rf"`((?:{folders})/[\w/.]+\.(?:py|md))`", text):
        assert (ROOT / path).is_file(), f"{document} names {path}"
