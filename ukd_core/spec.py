"""The short form of a named part with options: ``name:key=value,key=value``."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from ukd_core.errors import InputError
from ukd_core.plain_text import is_plain
from ukd_core.yaml_text import read_yaml

LONGEST = 200
"""Letters of a value that an error text shows."""


class Options(BaseModel):
    """Base of every options model: unknown keys are refused, values are converted and checked, all is frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _is_meant(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse what would be taken for something else: yes for 1, text that no file can have."""
        kinds = _kinds(cls.model_fields[str(info.field_name)].annotation)
        if isinstance(value, bool) and bool not in kinds and kinds & {int, float}:
            raise ValueError("expected a number")
        for text in value if isinstance(value, list | tuple) else (value,):
            if isinstance(text, str) and not is_plain(text):
                raise ValueError("expected text in UTF-8 without NUL")
        return value


OptionsT = TypeVar("OptionsT", bound=BaseModel)


@dataclass(frozen=True)
class Spec:
    """A name and its options, as written by a user."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        if not self.options:
            return self.name
        return self.name + ":" + ",".join(f"{key}={_as_text(value)}" for key, value in self.options.items())


def parse_spec(text: str) -> Spec:
    """Read ``name`` or ``name:key=value,...``; values are YAML scalars or ``[lists]``.

    >>> parse_spec("bert:layers=4,init=teacher-lower")
    Spec(name='bert', options={'layers': 4, 'init': 'teacher-lower'})
    """
    name, _, rest = text.strip().partition(":")
    options: dict[str, Any] = {}
    for item in _split_outside_brackets(rest) if rest else ():
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            raise InputError(f"'{shown(text)}'", "expected name:key=value,..., got "
                             f"{shown(item.strip())!r} after the name", "Write each option as key=value.")
        option = key.strip().replace("-", "_")
        if option in options:
            raise InputError(f"'{shown(text)}'", f"option {shown(option)!r} is there twice", "Give each option once.")
        try:
            options[option] = read_yaml(value)
        except ValueError as error:
            raise InputError(f"'{shown(text)}'", f"option {key.strip()!r} has an unreadable value {shown(value)!r}"
                             ) from error
    return Spec(name.strip(), options)


def split_specs(text: str) -> tuple[str, ...]:
    """Models between commas, each as in `parse_spec` or a path; a comma within the options of one does not end it.

    >>> split_specs("bilstm:layers=2,hidden=64,cnn")
    ('bilstm:layers=2,hidden=64', 'cnn')
    """
    specs: list[str] = []
    for piece in _split_outside_brackets(text):
        name, equals, _ = piece.partition("=")
        if specs and equals and ":" not in name:
            specs[-1] += f",{piece}"
        else:
            specs.append(piece)
    return tuple(spec.strip() for spec in specs if spec.strip())


def read_options(model: type[OptionsT], values: Mapping[str, Any], where: str) -> OptionsT:
    """Check `values` against the options model; the first wrong one becomes one line.

    Raises:
        InputError: an unknown key (with the nearest known one) or a value of the wrong kind.
    """
    try:
        return model(**values)
    except ValidationError as error:
        raise InputError(where, *_first_problem(error, list(model.model_fields))) from error


def shown(value: Any) -> str:
    """A value for an error text, at most 200 letters of it."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def nearest(name: str, known: Iterable[str]) -> str:
    """A remedy sentence: the nearest known names, then all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
    return f"{hint}Available: {', '.join(known) or 'none'}."


def _first_problem(error: ValidationError, known: list[str]) -> tuple[str, str]:
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"]) or "options"
    if problem["type"] == "extra_forbidden":
        return f"no option {key!r}", nearest(key, known)
    if problem["type"] == "missing":
        return f"option {key!r} is missing", ""
    expected = problem["msg"].removeprefix("Value error, ").rstrip(".")
    return f"option {key!r} has a wrong value: {expected}, got {shown(repr(problem['input']))}", ""


def _kinds(annotation: Any) -> set[Any]:
    """The types in an annotation, at any depth."""
    parts = get_args(annotation)
    return {annotation} if not parts else {kind for part in parts for kind in _kinds(part)}


def _split_outside_brackets(text: str) -> list[str]:
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _as_text(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n").removesuffix("\n...")
