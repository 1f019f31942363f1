"""The kit without pytest: every law of a case, one outcome each. ``ukd plugins check`` prints them."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import hypothesis.configuration
from hypothesis import settings

from ukd_core.silence import quiet
from ukd_core.testing.checks import Case, checks_of, expected_failures, found_is_enough

EXAMPLES = 50
"""Examples tried for each law where nobody says otherwise."""
WIDTH = 300
"""Most characters of the reason why a law failed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one law."""

    law: str
    """The name of the check."""
    status: Literal["ok", "declared exception", "FAILED"]
    detail: str
    """The reason that was declared, or one line on what broke the law."""
    seconds: float

    def __str__(self) -> str:
        return f"{self.law}: {self.status}" + (f": {self.detail}" if self.detail else "")


def run_case(case: Case, examples: int = EXAMPLES) -> Iterator[Outcome]:
    """Try every law that applies to a case, in order; the same examples are drawn every time.

    Args:
        case: What is checked.
        examples: Examples drawn for each law; laws that run a model get fewer.

    Raises:
        InputError: an expected failure names no check, or has no reason.
    """
    failures = expected_failures(case)
    for law, check in checks_of(case).items():
        started, broken = time.perf_counter(), None
        with _examples(examples), quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                (found_is_enough(check) if law in failures else check)(case)
            except Exception as error:  # whatever a plug-in raises is a finding
                broken = error
        yield _outcome(case, law, broken, failures.get(law), time.perf_counter() - started)


def _outcome(case: Case, law: str, broken: Exception | None, reason: str | None, seconds: float) -> Outcome:
    if reason is None:
        return Outcome(law, "FAILED", shortened(case, broken), seconds) if broken else Outcome(law, "ok", "", seconds)
    if broken is None and case.strict:
        return Outcome(law, "FAILED", f"declared as an exception ({reason}), but no example breaks it", seconds)
    return Outcome(law, "declared exception" if broken else "ok", reason if broken else "", seconds)


def summary(outcomes: Sequence[Outcome]) -> str:
    """One line: how many laws were kept, declared and broken, and how long that took."""
    counts, seconds = Counter(outcome.status for outcome in outcomes), sum(outcome.seconds for outcome in outcomes)
    declared = counts["declared exception"]
    return (f"{len(outcomes)} laws: {counts['ok']} ok, {declared} declared exception{'' if declared == 1 else 's'}, "
            f"{counts['FAILED']} failed, {seconds:.1f} seconds")


def shortened(case: Case, error: BaseException) -> str:
    """What broke a law, in one line: the finding, then the smallest example that Hypothesis knows."""
    text = _one_line(str(error)).removeprefix(f"{case.word} case '{case.name}': ")
    said = text if isinstance(error, AssertionError) else f"{type(error).__name__}: {text}" if text else (
        type(error).__name__)
    drawn = [_one_line(note) for note in getattr(error, "__notes__", ()) if note.startswith("Draw")]
    kept = _cut(said, WIDTH)
    example = _cut("; ".join(drawn), max(WIDTH - len(kept), WIDTH // 2))
    return f"{kept} [{example}]" if example else kept


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


@contextmanager
def _examples(count: int) -> Iterator[None]:
    """Settings of a run outside of pytest: reproducible, and nothing is written where the user is."""
    before = settings.get_current_profile_name()
    with tempfile.TemporaryDirectory(prefix="ukd-check-") as folder:
        hypothesis.configuration.set_hypothesis_home_dir(folder)
        settings.register_profile("ukd-check", max_examples=count, derandomize=True, database=None, deadline=None,
                                  print_blob=False)
        settings.load_profile("ukd-check")
        try:
            yield
        finally:
            settings.load_profile(before)
            hypothesis.configuration.set_hypothesis_home_dir(None)
