"""What the checks of all interfaces share: cases, tolerances, declared exceptions, and their use in pytest.

A check is a plain function ``check_<law>(case)``; the first line of its docstring is the law. It raises when the law is
broken and returns nothing when it is kept, so it runs under pytest and without it.
"""

from __future__ import annotations

import math
import random
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyFailure
from torch import Tensor

from ukd_core.errors import InputError

if TYPE_CHECKING:
    import pytest

TOLERANCES: Mapping[torch.dtype, float] = {torch.float64: 1e-6, torch.float32: 1e-4, torch.float16: 1e-2,
                                           torch.bfloat16: 2e-2}
"""How far two numbers that should be equal may be apart, relative to the greatest of them (or to 1)."""
FEWER = 10
"""A law that runs a model is tried on one example for so many of a law that does not, but on at least five."""

_SHRINKS: ContextVar[bool] = ContextVar("shrinks", default=True)

Check = Callable[[Any], None]
"""Takes a case of its own kind."""


@dataclass(frozen=True, slots=True, eq=False)
class Case(ABC):
    """Something to be checked, with what the kit must know of it. Every interface has its own kind of case."""

    name: str
    """Begins the test's id."""
    expected_failures: Mapping[str, str] | None = field(default=None, kw_only=True)
    """Check name -> why the law is not kept; None: what the class declares in `exceptions`. Strict: a law that is
    kept after all is a failure, and so is a name that is no check."""
    tolerances: Mapping[torch.dtype, float] = field(default_factory=dict, kw_only=True)
    """Replaces `TOLERANCES` for some dtypes."""
    deterministic: bool = field(default=True, kw_only=True)
    """False for something that draws random numbers on purpose: `check_determinism` is left out, and the global
    generators are seeded before every call, so that the other laws can be told."""
    strict: bool = field(default=True, kw_only=True)
    """False where an expected failure may also be kept, for instance with some options only."""

    word: ClassVar[str]
    """What messages call it: "projector", "term", …"""

    @property
    @abstractmethod
    def checks(self) -> tuple[Check, ...]:
        """All laws of the interface."""

    @abstractmethod
    def declared(self) -> Mapping[str, str]:
        """The exceptions that the class itself declares; called where `expected_failures` is None."""

    @abstractmethod
    def not_applicable(self) -> frozenset[str]:
        """Names of checks that say nothing about this case, for instance because it has no reference."""

    def tolerance(self, dtype: torch.dtype) -> float:
        """The tolerance for numbers that were computed in `dtype`."""
        return self.tolerances.get(dtype, TOLERANCES[dtype])


CaseT = TypeVar("CaseT", bound=Case)


def name_of(check: Callable[..., None]) -> str:
    """The name of a check, as `exceptions` and `expected_failures` have it."""
    return str(getattr(check, "__name__", check))


def checks_of(case: Case) -> dict[str, Check]:
    """The checks that apply to a case, by name, in the order of the interface's list."""
    left_out = case.not_applicable() | (frozenset() if case.deterministic else {"check_determinism"})
    return {name_of(check): check for check in case.checks if name_of(check) not in left_out}


def expected_failures(case: Case) -> Mapping[str, str]:
    """The laws that a case says it does not keep, each with its reason.

    Raises:
        InputError: a name is no check of the interface, or a reason is empty.
    """
    failures = case.declared() if case.expected_failures is None else case.expected_failures
    where, known = f"{case.word} case '{case.name}'", [name_of(check) for check in case.checks]
    unknown = sorted(set(failures) - set(known))
    if unknown:
        raise InputError(where, f"expected names of checks, got {unknown}", f"The checks are {', '.join(known)}.")
    silent = sorted(name for name, reason in failures.items() if not reason.strip())
    if silent:
        raise InputError(where, f"expected a reason for each expected failure, got none for {silent}",
                         "Say why the law cannot be kept.")
    return failures


def parametrize_with_checks(*cases: Case) -> pytest.MarkDecorator:
    """Run a test ``(case, check)`` for every case and every law of its interface; the id is ``<case>-<check>``.

    Cases of several interfaces may be mixed. An expected failure becomes an xfail with its reason; it is strict (the
    test fails when the law is kept after all) unless the case says otherwise. Needs pytest.

    Raises:
        InputError: an expected failure names no check, or has no reason.
    """
    import pytest

    parameters = []
    for case in cases:
        failures = expected_failures(case)
        for name, check in checks_of(case).items():
            marks = [pytest.mark.xfail(reason=failures[name], strict=case.strict)] if name in failures else []
            run = found_is_enough(check) if name in failures else check
            parameters.append(pytest.param(case, run, id=f"{case.name}-{name}", marks=marks))
    return pytest.mark.parametrize(("case", "check"), parameters)


def for_all(law: Callable[[CaseT, st.DataObject], None]) -> Callable[[CaseT], None]:
    """A check that tries the law on inputs which Hypothesis draws, under the profile in force."""
    return _drawn(law, 1)


def for_half(law: Callable[[CaseT, st.DataObject], None]) -> Callable[[CaseT], None]:
    """The same with half as many examples, for laws that build several modules for each."""
    return _drawn(law, 2)


def for_some(law: Callable[[CaseT, st.DataObject], None]) -> Callable[[CaseT], None]:
    """The same with fewer examples, for laws that run a model; see `FEWER`."""
    return _drawn(law, FEWER)


def found_is_enough(check: Check) -> Check:
    """The check without the search for the smallest example that breaks the law; for failures that are expected."""

    @wraps(check)
    def run(case: Case) -> None:
        token = _SHRINKS.set(False)
        try:
            check(case)
        finally:
            _SHRINKS.reset(token)

    return run


def _drawn(law: Callable[[CaseT, st.DataObject], None], fewer: int) -> Callable[[CaseT], None]:
    @wraps(law)
    def check(case: CaseT) -> None:
        def every_input(data: st.DataObject) -> None:
            law(case, data)

        # Hypothesis keeps what it found under this name, so that laws and cases do not share it.
        every_input.__name__ = re.sub(r"\W", "_", f"{name_of(law)}_of_{case.word}_{case.name}")
        usual = settings().max_examples
        examples = min(usual, max(5, usual // fewer))
        # What else could have failed is of no interest, and takes longer to find than all the rest.
        without = {Phase.explain} if _SHRINKS.get() else {Phase.explain, Phase.shrink}
        phases = [phase for phase in settings().phases if phase not in without]
        run = settings(deadline=None, report_multiple_bugs=False, max_examples=examples, phases=phases,
                       suppress_health_check=list(HealthCheck))
        try:
            run(given(st.data())(every_input))()
        except FlakyFailure as error:  # broken at random: what was found says more than that it was not found again
            raise error.exceptions[0] from error

    return check


def exceptions_of(declaring: object) -> Mapping[str, str]:
    """What a plug-in class, or an instance of it, declares in `exceptions`; nothing where it has no such attribute."""
    declared: Mapping[str, str] = getattr(declaring, "exceptions", {})
    return declared


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw random numbers from `seed` inside; all global generators are as before afterwards."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the CPU's alone: `torch.manual_seed` is slow without a device
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


@contextmanager
def repeatable(case: Case) -> Iterator[None]:
    """Where a case is not deterministic by intent, let every call inside draw the same random numbers."""
    if case.deterministic:
        yield
    else:
        with seeded(0):
            yield


def expect(case: Case, kept: bool, problem: str) -> None:
    """Report a broken law."""
    if not kept:
        raise AssertionError(f"{case.word} case '{case.name}': {problem}")


def expect_close(case: Case, what: str, actual: Tensor, expected: Tensor, tolerance: float | None = None) -> None:
    """Report numbers that differ by more than the tolerance.

    Args:
        case: What is checked.
        what: What the numbers are, in the plural.
        actual: Any shape.
        expected: The same shape; its greatest entry, or 1, is what the tolerance is relative to.
        tolerance: None for the case's own, for the dtype of `actual`.
    """
    expect(case, actual.shape == expected.shape,
           f"{what} have the shape {tuple(actual.shape)}, expected {tuple(expected.shape)}")
    if not expected.numel():
        return
    found, wanted = actual.detach().double().cpu(), expected.detach().double().cpu()
    scale = float(wanted.abs().nan_to_num(nan=0.0, posinf=0.0).max().clamp(min=1.0))
    allowed = scale * (case.tolerance(actual.dtype) if tolerance is None else tolerance)
    # Equal infinities are apart by nothing, numbers that are none by more than anything.
    apart = torch.where(found == wanted, 0.0, (found - wanted).abs()).nan_to_num(nan=math.inf)
    if not bool((apart <= allowed).all()):
        place = torch.unravel_index(apart.argmax(), apart.shape)
        where = f" at {tuple(map(int, place))}" if apart.ndim else ""
        expect(case, False, f"{what} are not as expected: {float(found[place]):g} instead of {float(wanted[place]):g}"
                            f"{where}, more than {allowed:.2g} apart")


def expect_same(case: Case, first: Tensor, second: Tensor, problem: str) -> None:
    """Report two tensors of any shape that are not equal bit by bit."""
    expect(case, torch.equal(first, second), problem)


def expect_finite(case: Case, what: str, values: Tensor | None) -> None:
    """Report infinite values, and values that are no numbers, of any shape; None (no gradient) is fine."""
    expect(case, values is None or bool(values.isfinite().all()), f"{what} are not finite")
