"""Running deliberately broken implementations through the kit; `benchmarks/kit_mutants.py` prints them as a table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from hypothesis import settings

from ukd_core.testing.checks import Case, Check, found_is_enough, name_of


@dataclass(frozen=True)
class Mutant:
    """Something that breaks a law; the case is named after it."""

    law: str
    """The check that must catch it."""
    case: Case
    message: str
    """A regular expression that the finding must match: caught for the right reason."""

    def finding(self) -> str:
        """What the check says; empty where it says nothing."""
        check = {name_of(check): check for check in self.case.checks}[self.law]
        try:
            with always_the_same():
                found_is_enough(check)(self.case)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return ""

    def is_caught(self) -> bool:
        """Whether the check finds it, for the right reason."""
        return re.search(self.message, self.finding()) is not None


def passes(case: Case, check: Check) -> None:
    """Try a law on something that keeps it, on few examples: what ships is tried on many."""
    with always_the_same(max_examples=10):
        check(case)


@contextmanager
def always_the_same(**changes: int) -> Iterator[None]:
    """The same examples are tried every time, so a mutant is caught always or never."""
    profile = settings.get_current_profile_name()
    settings.register_profile("always-the-same", settings.get_profile(profile), derandomize=True, database=None,
                              **changes)
    settings.load_profile("always-the-same")
    try:
        yield
    finally:
        settings.load_profile(profile)


def every_mutant(mutants: list[Mutant]) -> pytest.MarkDecorator:
    """One test a mutant; the id is ``<law>-<mutant>``."""
    return pytest.mark.parametrize("mutant", mutants, ids=lambda mutant: f"{mutant.law}-{mutant.case.name}")


def laws_without(mutants: list[Mutant], checks: tuple) -> set[str]:
    """Checks that no mutant puts to the test."""
    return {name_of(check) for check in checks} - {mutant.law for mutant in mutants}
