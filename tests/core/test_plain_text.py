"""What a user gave is taken as it was meant or refused: keys that are there twice, yes for 1, text that no file has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ukd_core import Recipe
from ukd_core.errors import InputError
from ukd_core.plain_text import is_plain
from ukd_core.spec import parse_spec
from ukd_core.yaml_text import read_yaml

Command = Callable[..., tuple[int, str, str]]
RECIPE = {"teacher": "bert", "student": "cnn", "data": "d.csv", "output": "o"}


def refusal(**changes: object) -> str:
    with pytest.raises(InputError) as caught:
        Recipe.make({**RECIPE, **changes})
    return str(caught.value)


@pytest.mark.parametrize(("text", "value"), [
    ("a: 1\nb: [x, 2.5]", {"a": 1, "b": ["x", 2.5]}), ("", None), ("<<: {a: 1}\na: 2", {"a": 2}), ("é", "é")])
def test_yaml_is_read(text: str, value: object):
    assert read_yaml(text) == value


@pytest.mark.parametrize("text", [
    "2026-13-45", "!!int x", "!!bool x", "!!float _", "!!timestamp x", "!!map 3", "0b_", "0x_", "9" * 5000, "a: [",
    "!!python/object/apply:os.getcwd []", "\x00", "=", "*nowhere", "{[1]: 2}"])
def test_yaml_that_says_to_be_what_it_is_not(text: str):
    """The constructors of PyYAML raise five kinds of errors for these."""
    with pytest.raises(ValueError) as caught:
        read_yaml(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3", "- {a: 1, a: 1}"])
def test_a_key_that_is_there_twice(text: str):
    with pytest.raises(ValueError, match="the key 'a' is there twice"):
        read_yaml(text)


def test_a_recipe_with_a_key_twice(ukd: Command, tmp_path: Path):
    (tmp_path / "run.yaml").write_text("teacher: bert\nstudent: cnn\ndata: d\noutput: o\nteacher: roberta\n")
    assert ukd("check", "--recipe", tmp_path / "run.yaml") == (
        2, "", f"ukd: recipe '{tmp_path / 'run.yaml'}': expected a YAML file, got the key 'teacher' is there twice.\n")


def test_an_option_of_a_model_twice():
    with pytest.raises(InputError) as caught:
        parse_spec("cnn:hidden=8,layers=2,hidden=16")
    assert str(caught.value) == ("'cnn:hidden=8,layers=2,hidden=16': option 'hidden' is there twice. "
                                 "Give each option once.")


@pytest.mark.parametrize(("text", "plain"), [
    ("é😀", True), ("", True), ("a\0", False), ("\ud800", False), ("\udcff", False)])
def test_text_that_can_be_written(text: str, plain: bool):
    assert is_plain(text) is plain


def test_what_a_line_tells_of_a_long_value():
    told = refusal(seed="x" * 5000)
    assert told.startswith("recipe: option 'seed' has a wrong value: Input should be a valid integer")
    assert len(told) < 400


@pytest.mark.parametrize("key", ["epochs", "batch_size", "seed", "learning_rate", "max_labels"])
def test_yes_is_no_number(key: str):
    assert refusal(**{key: True}) == f"recipe: option '{key}' has a wrong value: expected a number, got True."


@pytest.mark.parametrize(("key", "value"), [
    ("data", "d\0.csv"), ("label_names", ("a", "\ud800")), ("method", "\udcff")])
def test_text_that_no_file_can_have(key: str, value: object):
    assert refusal(**{key: value}).startswith(
        f"recipe: option '{key}' has a wrong value: expected text in UTF-8 without NUL, got ")


@pytest.mark.parametrize(("key", "value"), [
    ("epochs", 1e300), ("teacher_epochs", 1e300), ("batch_size", 10**30), ("max_length", 10**30)])
def test_numbers_that_no_run_can_have(key: str, value: float):
    assert f"option '{key}' has a wrong value: Input should be less than or equal to 1000000" in refusal(**{key: value})


@pytest.mark.parametrize("key", RECIPE)
def test_a_name_that_is_empty(key: str):
    assert refusal(**{key: ""}) == (
        f"recipe: option '{key}' has a wrong value: String should have at least 1 character, got ''.")


@pytest.mark.parametrize("argument", ["run\0", "\udcff"])
def test_arguments_are_text(ukd: Command, argument: str):
    assert ukd("report", argument) == (
        2, "", f"ukd: argument {argument!r}: expected text in UTF-8 without NUL. Rename the file.\n")


@pytest.mark.parametrize("words", [("suggest", "--data=d.csv", "--latency-ms=nan"),
                                   ("bench", "run", "--data=d.csv", "--seconds=inf")])
def test_times_are_numbers(ukd: Command, words: tuple[str, ...]):
    assert ukd(*words)[:2] == (2, "")
