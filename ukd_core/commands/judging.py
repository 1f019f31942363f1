"""Commands that say what a run came to."""

from __future__ import annotations

from typing import Annotated

import typer

from ukd_core.commands.options import PluginFolder, Plugins, registry_of
from ukd_core.commands.said import say

Alternatives = Annotated[str | None, typer.Option(
    help="What a user would pick instead, beside the student: tfidf,fasttext,model2vec,teacher-int8.")]


def verdict(run: Annotated[str, typer.Argument(help="Folder of a finished run.")],
            alternatives: Alternatives = None, plugin: Plugins = None, plugin_folder: PluginFolder = None) -> None:
    """Judge a finished run: quality with intervals, calibration, size, speed, and whether distillation helped."""
    registry = registry_of(plugin, plugin_folder)
    from ukd_core.run.verdict import write_verdict
    from ukd_core.run.verdict.table import verdict_text
    if alternatives is not None:
        from ukd_core.run.alternatives import chosen, try_alternatives
        try_alternatives(run, chosen(alternatives), registry=registry)
    say(verdict_text(write_verdict(run, registry)))
