"""Every test starts from one seed, on one thread, without the network and without the user's own plug-in settings."""

from __future__ import annotations

import os

# Read when the libraries are imported, so set before anything else is.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ.pop("UKD_DISABLE_PLUGINS", None)
os.environ.pop("UKD_STRICT_PLUGINS", None)
os.environ.pop("UKD_TRACE_PLUGINS", None)

import random
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import settings

from ukd_core.cli import main
from ukd_core.plugins import Registry, load_registry

settings.register_profile("ukd", deadline=None, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "ukd"))

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """A test draws the same numbers alone and among others."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def short_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speed is measured in the fewest calls: no test is about how fast this machine is."""
    monkeypatch.setattr("ukd_core.run.measuring.SECONDS", 0.0)


@pytest.fixture(scope="session")
def registry() -> Registry:
    """What is installed here: the shipped plug-ins, and strangers' where there are any."""
    return load_registry()


@pytest.fixture
def ukd(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The command line in this process: (exit status, standard output, standard error)."""
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ukd", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err
    return run
