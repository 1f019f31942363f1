"""What `ukd_core` exports is imported when it is first used, and nothing else is there."""

from __future__ import annotations

import pytest

import ukd_core


@pytest.mark.parametrize("name", ukd_core.__all__)
def test_every_public_name_is_there(name: str):
    assert callable(getattr(ukd_core, name))


def test_another_name_is_no_attribute():
    with pytest.raises(AttributeError) as caught:
        ukd_core.Projektor  # noqa: B018 - the access is what is tested
    assert str(caught.value) == "module 'ukd_core' has no attribute 'Projektor'"
