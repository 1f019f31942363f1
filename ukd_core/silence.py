"""Silence for libraries whose news is told in our own words, or in the error that we raise."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

LOGGERS = ("datasets", "huggingface_hub", "transformers")


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back progress bars, remarks, retries and logged tracebacks of the Hugging Face libraries.

    Called around every reading of a model or of data; all settings are restored afterwards.
    """
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    with ExitStack() as restore:
        for logger, level in zip(loggers, levels, strict=True):
            restore.callback(logger.setLevel, level)
            logger.setLevel(logging.CRITICAL)
        _without_bars(restore)
        yield


def _without_bars(restore: ExitStack) -> None:
    """Only libraries that are imported already can show a bar; the others are not imported for this."""
    if "datasets" in sys.modules:
        import datasets
        if not datasets.are_progress_bars_disabled():
            datasets.disable_progress_bars()
            restore.callback(datasets.enable_progress_bars)
    if "transformers" in sys.modules:
        from transformers.utils import logging as transformers_logging
        if transformers_logging.is_progress_bar_enabled():
            transformers_logging.disable_progress_bar()
            restore.callback(transformers_logging.enable_progress_bar)
