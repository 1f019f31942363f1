"""The short form ``name:key=value``, options models, and suggestions."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, field_validator

from ukd_core.errors import InputError
from ukd_core.spec import Options, Spec, nearest, parse_spec, read_options


class Cooking(Options):
    layers: int = Field(default=2, ge=1)
    score: Literal["dot", "cosine"] = "dot"
    pairs: tuple[int, ...] = ()
    flavour: str

    @field_validator("flavour")
    @classmethod
    def sweet(cls, value: str) -> str:
        if value == "bitter":
            raise ValueError("expected something sweet.")
        return value


@pytest.mark.parametrize(("text", "expected"), [
    ("bert", Spec("bert")),
    (" bert ", Spec("bert")),
    ("bert:", Spec("bert")),
    ("bert:layers=4", Spec("bert", {"layers": 4})),
    ("bert:layers=4, init=teacher-lower", Spec("bert", {"layers": 4, "init": "teacher-lower"})),
    ("bert:max-length=8", Spec("bert", {"max_length": 8})),
    ("bert:rate=1.5e-3,dry=true,none=null", Spec("bert", {"rate": 1.5e-3, "dry": True, "none": None})),
    ("fixed:pairs=[[0, 1], [1, 2]],x=1", Spec("fixed", {"pairs": [[0, 1], [1, 2]], "x": 1})),
    ("cnn:sizes={a: 1, b: 2}", Spec("cnn", {"sizes": {"a": 1, "b": 2}})),
    ("bert:from=C:/models", Spec("bert", {"from": "C:/models"})),
    ("bert:from=a=b", Spec("bert", {"from": "a=b"})),
    ("bert:text=", Spec("bert", {"text": None})),
])
def test_text_becomes_name_and_options(text: str, expected: Spec) -> None:
    assert parse_spec(text) == expected


@pytest.mark.parametrize(("text", "message"), [
    ("bert:layers", "'bert:layers': expected name:key=value,..., got 'layers' after the name. "
                    "Write each option as key=value."),
    ("bert:=4", "'bert:=4': expected name:key=value,..., got '=4' after the name. Write each option as key=value."),
    ("bert:a=1,,b=2", "'bert:a=1,,b=2': expected name:key=value,..., got '' after the name. "
                      "Write each option as key=value."),
    ("bert:a=[1", "'bert:a=[1': option 'a' has an unreadable value '[1'."),
])
def test_text_that_is_no_spec(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_spec(text)
    assert str(caught.value) == message


words = st.from_regex(r"[a-z]([a-z_]{0,6}[a-z])?", fullmatch=True)
scalars = st.one_of(st.integers(), st.booleans(), st.none(), words, st.floats(allow_nan=False))
values = st.one_of(scalars, st.lists(scalars, max_size=3), st.lists(st.lists(st.integers(), max_size=2), max_size=2))


@given(st.dictionaries(words, values, max_size=4))
def test_spec_is_written_as_it_is_read(options: dict[str, object]) -> None:
    assert parse_spec(str(Spec("name", options))) == Spec("name", options)


def test_values_are_converted_and_defaults_filled_in() -> None:
    options = read_options(Cooking, {"layers": "3", "flavour": "plum"}, "adapter 'x'")
    assert options == Cooking(layers=3, score="dot", pairs=(), flavour="plum")


@pytest.mark.parametrize(("given_values", "message"), [
    ({"flavour": "plum", "layerz": 3},
     "adapter 'x': no option 'layerz'. Did you mean 'layers'? Available: flavour, layers, pairs, score."),
    ({}, "adapter 'x': option 'flavour' is missing."),
    ({"flavour": "plum", "layers": 0},
     "adapter 'x': option 'layers' has a wrong value: Input should be greater than or equal to 1, got 0."),
    ({"flavour": "plum", "score": "dott"},
     "adapter 'x': option 'score' has a wrong value: Input should be 'dot' or 'cosine', got 'dott'."),
    ({"flavour": "plum", "pairs": [1, "a"]},
     "adapter 'x': option 'pairs.1' has a wrong value: Input should be a valid integer, unable to parse string as an "
     "integer, got 'a'."),
    ({"flavour": "bitter"},
     "adapter 'x': option 'flavour' has a wrong value: expected something sweet, got 'bitter'."),
])
def test_wrong_options_are_one_line(given_values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_options(Cooking, given_values, "adapter 'x'")
    assert str(caught.value) == message


def test_options_do_not_change_later() -> None:
    options = Cooking(flavour="plum")
    with pytest.raises(ValidationError, match="frozen"):
        options.layers = 5


@pytest.mark.parametrize(("name", "known", "text"), [
    ("atention", ["fixed", "attention"], "Did you mean 'attention'? Available: attention, fixed."),
    ("colr", ["color", "colour", "x"], "Did you mean 'color' or 'colour'? Available: color, colour, x."),
    ("zzz", ["fixed", "attention"], "Available: attention, fixed."),
    ("x", [], "Available: none."),
])
def test_nearest_names_come_first_then_all(name: str, known: list[str], text: str) -> None:
    assert nearest(name, known) == text
