"""Random maps: each student layer has one teacher layer, drawn by lot."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, final

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ukd_core import Options, Projector, ProjectorSetup


class RandomOptions(Options):
    """How teacher layers are drawn."""

    draws: int | None = Field(default=None, ge=1, le=1_000_000)
    """Times that the map is drawn in a phase, after equal parts of its steps; None: in every pass over the rows."""
    ordered: bool = True
    """Deeper student layers get deeper teacher layers; else the drawn layers stand in any order."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the draws."""


@final
class RandomProjector(Projector):
    """Gives every student layer one teacher layer, the same for all units, drawn without replacement.

    With fewer teacher than student layers some teacher layers are drawn more than once, each about as often. Draw k
    of the phase depends on `seed`, k and the number of layers alone, so a resumed run has the same maps. Until
    `on_progress` is called the first draw holds.

    Source: ordered and drawn in every pass it is the selection of RAIL-KD (Haidar et al., Findings of NAACL 2022);
    drawn once (``draws=1``) it is the baseline that tells what a choice of layers is worth.
    """

    name = "random"
    summary = "one teacher layer for each student layer, drawn by lot"
    Options = RandomOptions
    options: RandomOptions
    exceptions = MappingProxyType({
        "check_teacher_permutation": "the map goes by the position of a teacher layer, not by what it says",
    })

    def __init__(self, options: Any = None, setup: ProjectorSetup | None = None) -> None:
        super().__init__(options, setup)
        self.draws: int = self.options.draws or (1 if setup is None else setup.passes)
        self.draw = 0

    def on_progress(self, fraction: float) -> None:
        """Note which draw holds."""
        self.draw = min(int(fraction * self.draws + 1e-9), self.draws - 1)

    def weights(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The map of the current draw as shares; shapes and dtypes as in `Projector.weights`."""
        layers = (student.shape[0], teacher.shape[0])
        shares = student.new_zeros(layers)
        shares[torch.arange(layers[0]), torch.from_numpy(self._drawn(*layers))] = 1.0
        return shares.unsqueeze(-1).expand(*layers, student.shape[1])

    def _drawn(self, students: int, teachers: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        generator = np.random.default_rng([self.options.seed, self.draw, students, teachers])
        rounds = -(-students // teachers)
        drawn = np.concatenate([generator.permutation(teachers) for _ in range(rounds)])[:students]
        return np.sort(drawn) if self.options.ordered else drawn
