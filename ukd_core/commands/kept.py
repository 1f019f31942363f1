"""Commands about what is kept between runs."""

from __future__ import annotations

from typing import Annotated

import typer

from ukd_core.commands.options import Cache, cache_of
from ukd_core.commands.said import say


def list_entries(cache: Cache = None) -> None:
    """List what the cache folder holds, with sizes in megabytes."""
    from ukd_core.run.table import cache_table
    say(cache_table(cache_of(cache)))


def verify_entries(cache: Cache = None) -> int:
    """Compare every byte of the teacher answers with its checksum; exit status 1 where one is damaged."""
    from ukd_core.run.cache.entries import verify
    damaged = 0
    for entry, problem in verify(cache_of(cache)):
        damaged += problem is not None
        say(f"{entry.path.name}: {problem or 'ok'}")
    return int(damaged > 0)


def remove_entry(name: Annotated[str, typer.Argument(help="Name of an entry, or its first characters.")],
                 cache: Cache = None) -> None:
    """Delete one entry."""
    from ukd_core.run.cache.entries import remove
    entry = remove(cache_of(cache), name)
    say(f"removed {entry.path}")
