"""What all cases share, made once."""

from __future__ import annotations

import pytest
from worlds import World


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Good data, a finished run, a comparison, a cache."""
    return World.make(tmp_path_factory.mktemp("world"))
