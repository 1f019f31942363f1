"""The command that says what a run would do, and what is wrong with it, before anything heavy."""

from __future__ import annotations

from typing import Any

from ukd_core.commands.options import RECIPE_FILE, Plugins, fixed_option, made_recipe, with_recipe_options
from ukd_core.commands.said import say

NOWHERE = "unnamed-run"
"""The run folder of a check that was given none."""


def _check(*, recipe: str | None, plugin: list[str] | None, **options: Any) -> None:
    """Try a run without doing it: one batch through both models on the CPU, the plan as tables, all that is wrong.

    Takes the options of distill; --output may be left out. Exit status 2 where something would stop the run.
    """
    named = options.get("output") is not None or recipe is not None
    if not named:
        options["output"] = NOWHERE
    made = made_recipe("ukd check", recipe, plugin, options, ("teacher", "student", "data"))
    from ukd_core.run.preflight import preflight
    found = preflight(made, output=named)
    say(found.text())
    found.tell()


check = with_recipe_options(_check, (RECIPE_FILE, fixed_option("plugin", Plugins, None)))
