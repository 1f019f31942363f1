"""Libraries are silent while something is read, and as talkative as before afterwards."""

from __future__ import annotations

import logging
import sys

import datasets
import pytest
from transformers.utils import logging as transformers_logging

from ukd_core.silence import LOGGERS, quiet


@pytest.fixture
def talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a user who has set nothing: the tests themselves run without bars."""
    for name in ("datasets.utils.tqdm", "huggingface_hub.utils.tqdm"):
        for setting in ("HF_DATASETS_DISABLE_PROGRESS_BARS", "HF_HUB_DISABLE_PROGRESS_BARS"):
            monkeypatch.setattr(sys.modules[name], setting, None, raising=False)
    monkeypatch.setattr(sys.modules["datasets.utils.tqdm"], "_hf_datasets_progress_bars_disabled", False)
    monkeypatch.setattr(transformers_logging, "_tqdm_active", True)


def state() -> tuple[list[int], bool, bool]:
    return ([logging.getLogger(name).level for name in LOGGERS], datasets.are_progress_bars_disabled(),
            transformers_logging.is_progress_bar_enabled())


@pytest.mark.usefixtures("talkative")
@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_as_before_afterwards(fails: bool):
    before = state()
    assert before[1:] == (False, True)
    try:
        with quiet():
            assert state() == ([logging.CRITICAL] * 3, True, False)
            with quiet():
                pass
            assert state() == ([logging.CRITICAL] * 3, True, False)
            if fails:
                raise KeyError
    except KeyError:
        assert fails
    assert state() == before


@pytest.mark.usefixtures("talkative")
def test_a_library_that_is_not_in_use_is_not_imported(monkeypatch: pytest.MonkeyPatch):
    before = state()
    for name in ("datasets", "transformers"):
        monkeypatch.delitem(sys.modules, name)
    with quiet():
        assert state()[1:] == before[1:]
        assert not {"datasets", "transformers"} & set(sys.modules)
    assert state() == before
