"""metrics.json of a run as it is trusted: what is read of it is there and of the right kind, whoever wrote it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ukd_core.errors import InputError
from ukd_core.formats import RUN
from ukd_core.run.finished import Ending
from ukd_core.run.speed import Speed
from ukd_core.spec import read_options

Scores = dict[str, float]


class Part(BaseModel):
    """The teacher, an assistant or the student."""

    model_config = ConfigDict(extra="allow")
    name: str
    layers: int = 0
    parameters: int
    metrics: Scores = {}
    by_split: dict[str, Scores] = {}
    bytes: int | None = None


class Metrics(BaseModel):
    """What a verdict and a report read; more may be there."""

    model_config = ConfigDict(extra="allow")
    method: str
    seed: int
    metric: str
    labels: list[str]
    rows: dict[str, int] = {}
    layer_accuracy: list[float | None] = []
    phases: list[Ending] = []
    seconds: Scores = {}
    teacher: Part
    student: Part
    assistants: list[Part] = []
    agreement: dict[str, float | None] = {}
    speed: dict[str, Speed] = {}
    speed_cuda: dict[str, Speed] = {}
    versions: dict[str, str] = {}


def read_metrics(folder: Path) -> dict[str, Any]:
    """What ``metrics.json`` of a run folder holds.

    Raises:
        InputError: it is missing, damaged, of another version, or a value is not of its kind.
    """
    where = f"run '{folder}'"
    found = RUN.read(folder / "metrics.json", where)
    try:
        return read_options(Metrics, found, where).model_dump()
    except InputError as error:
        raise InputError(where, f"metrics.json is not that of a run: {error.problem}", RUN.remedy) from error
