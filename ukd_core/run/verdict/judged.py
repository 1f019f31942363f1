"""What a verdict holds; as plain values in verdict.json."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from ukd_core.formats import VERDICT
from ukd_core.run.compare.bootstrap import Interval
from ukd_core.run.speed import Speed

Role = Literal["teacher", "student", "baseline", "alternative"]
Outcome = Literal["helped", "did not help", "hurt", "cannot tell"]
"""Of distillation, against the same student trained on labels alone: the 95 % interval of the difference is above 0,
holds 0, is below 0; or there is nothing to compare with."""


@dataclass(frozen=True)
class Model:
    """One row of the verdict's table. None stands for what was not measured or has no meaning here."""

    role: Role
    name: str
    """As the user wrote it: a student's spec, a teacher's folder; "same student, labels alone"; an alternative's
    title."""
    quality: Interval | None = None
    """Score in the verdict's metric, with its 95 % interval over rows."""
    kept: float | None = None
    """Quality as a share of the teacher's."""
    over: Interval | None = None
    """The student's quality minus this model's, paired by row, with its 95 % interval; None for the student itself."""
    agreement: float | None = None
    """Share of rows (of decisions, where a row has several) that it answers as the teacher does."""
    ece: float | None = None
    """Expected calibration error, 0 to 1; see `ukd_core.run.verdict.calibration`."""
    nll: float | None = None
    """Negative log likelihood of the labels, nats a row."""
    parameters: int | None = None
    bytes: int | None = None
    """Of what is stored: weights and tokenizer, or whatever an alternative needs to answer."""
    speed: Speed | None = None
    """On the CPU."""
    speed_cuda: Speed | None = None
    """On the GPU, where there was one."""
    speed_up: float | None = None
    """Texts a second in batches on the CPU, as a multiple of the teacher's."""
    fit_seconds: float | None = None
    """Spent on fitting an alternative."""
    note: str = ""
    """Why an alternative could not be tried; then all else is None."""


@dataclass(frozen=True)
class Floor:
    """A model that gives every row the same answer, the best of these."""

    answer: str
    score: float
    """In the verdict's metric."""
    over: Interval
    """The student's quality minus this one, paired by row, with its 95 % interval."""


@dataclass(frozen=True)
class Verdict:
    """What a finished run came to."""

    method: str
    seed: int
    split: str | None
    """Where all scores are from: "test" where its rows have labels, else "validation"; None where neither is there."""
    metric: str
    rows: int
    """Of the split."""
    labelled_rows: int
    """Those of them with a label: all scores but the agreement are from these."""
    outcome: Outcome
    """Of distillation."""
    difference: Interval | None
    """The student's quality minus its baseline's, as in that row's `over`."""
    models: tuple[Model, ...]
    """Teacher, student, then baseline and alternatives where there are any."""
    sentences: tuple[str, ...]
    """The verdict in words, the most important first."""
    floor: Floor | None = None
    """What has to be beaten; None where an answer is not one class, or no row has a label."""

    @property
    def teacher(self) -> Model:
        """Always there."""
        return self._of("teacher")[0]

    @property
    def student(self) -> Model:
        """Always there."""
        return self._of("student")[0]

    @property
    def baseline(self) -> Model | None:
        """The same student trained on labels alone, where that was done."""
        return next(iter(self._of("baseline")), None)

    @property
    def alternatives(self) -> tuple[Model, ...]:
        """What a user would pick instead, in the order in which it was asked for."""
        return self._of("alternative")

    def _of(self, role: Role) -> tuple[Model, ...]:
        return tuple(model for model in self.models if model.role == role)

    def written(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return VERDICT.mark(dataclasses.asdict(self))

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """From what `written` gave; an `InputError` where another version wrote it."""
        VERDICT.check("verdict", values)
        own = {key: value for key, value in values.items() if key != VERDICT.key}
        return cls(**{**own, "difference": interval_of(own["difference"]), "sentences": tuple(own["sentences"]),
                      "models": tuple(model_of(model) for model in own["models"]),
                      "floor": floor_of(own.get("floor"))})


def model_of(values: Mapping[str, Any]) -> Model:
    """A model from plain values."""
    return Model(**{**values, **{key: interval_of(values.get(key)) for key in ("quality", "over")},
                    **{key: speed_of(values.get(key)) for key in ("speed", "speed_cuda")}})


def floor_of(values: Mapping[str, Any] | None) -> Floor | None:
    """A floor from plain values."""
    return None if values is None else Floor(**{**values, "over": Interval(**values["over"])})


def interval_of(values: Mapping[str, float] | None) -> Interval | None:
    """An interval from plain values."""
    return None if values is None else Interval(**values)


def speed_of(values: Mapping[str, Any] | None) -> Speed | None:
    """A speed from plain values."""
    return None if values is None else Speed(**values)
