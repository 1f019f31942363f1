"""Errors are one line, keep their facts, and cross process borders."""

from __future__ import annotations

import pickle

import pytest

from ukd_core import errors

KINDS = [errors.UKDError, errors.InputError, errors.ShapeError, errors.PluginError, errors.PluginLoadError,
         errors.DuplicateNameError, errors.UnknownNameError]


def test_text_is_where_problem_remedy() -> None:
    error = errors.InputError("data 'train.csv'", "expected a column 'text', got 'label'", "Name it with --text.")
    assert str(error) == "data 'train.csv': expected a column 'text', got 'label'. Name it with --text."
    assert (error.where, error.problem, error.remedy) == (
        "data 'train.csv'", "expected a column 'text', got 'label'", "Name it with --text.")


def test_text_without_remedy_ends_after_the_problem() -> None:
    assert str(errors.UKDError("model 'x'", "it has no weights")) == "model 'x': it has no weights."


def test_text_is_one_line_whatever_goes_in() -> None:
    assert str(errors.UKDError("a\nb", "c\t d\n", " e\r\nf ")) == "a b: c d . e f"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_survives_pickling(kind: type[errors.UKDError]) -> None:
    copy = pickle.loads(pickle.dumps(kind("where", "problem", "Remedy.")))
    assert type(copy) is kind
    assert str(copy) == "where: problem. Remedy."
    assert (copy.where, copy.problem, copy.remedy) == ("where", "problem", "Remedy.")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_caught_as_ours_and_exits_with_2(kind: type[errors.UKDError]) -> None:
    assert issubclass(kind, errors.UKDError)
    assert kind.exit_status == 2


@pytest.mark.parametrize(("kind", "builtin"), [
    (errors.InputError, ValueError), (errors.ShapeError, ValueError), (errors.UnknownNameError, LookupError),
    (errors.PluginLoadError, errors.PluginError), (errors.DuplicateNameError, errors.PluginError)])
def test_kinds_are_caught_as_what_they_resemble(kind: type[errors.UKDError], builtin: type[Exception]) -> None:
    assert issubclass(kind, builtin)


def test_text_of_a_lookup_error_is_not_quoted() -> None:
    # KeyError would print repr() of its argument; the command line prints str(error) as it is.
    assert str(errors.UnknownNameError("term 'x'", "no such term")) == "term 'x': no such term."
