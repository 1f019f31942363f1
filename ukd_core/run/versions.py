"""What a run was made with."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("ukd", "torch", "transformers", "tokenizers", "datasets", "accelerate", "numpy")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide numbers; those that are not installed are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a clone that nobody installed
            continue
    return found
