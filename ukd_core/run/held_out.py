"""The teacher's answers to labelled rows, for projectors that weigh layers by how right they are."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from ukd_core.projector import HeldOut

if TYPE_CHECKING:
    from ukd_core.run.data import TaskData

SPLITS = ("validation", "train")
"""Where labelled rows are looked for, in this order; test rows decide nothing."""
MOST_ROWS = 2000
"""More are sampled: they would tell the few numbers that are fitted on them little more, and searches take longer."""
ReadHeldOut = Callable[[], HeldOut]


class ScoresOfRows(Protocol):
    """Scores of a split that can be read in part."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, layers, C."""

    def rows(self, index: Tensor) -> Tensor:
        """Some rows: index (units,), int64, to (units, layers, C), float32."""


def held_out_rows(data: TaskData, scores_of: Callable[[str], ScoresOfRows] | None
                  ) -> Callable[[int], ReadHeldOut | None]:
    """Say how a projector over the first so many layers of scores reads its labelled rows.

    Called when the terms of a phase are built; nothing is read before a projector asks, and nothing twice.

    Args:
        data: The splits; `HeldOut` says which of them is taken.
        scores_of: From a split to the teacher's scores of it; None where no teacher is involved.

    Returns:
        From a number of layers to what reads the rows; to None where no row has a label, or there are fewer layers.
    """
    split = next((name for name in SPLITS if name in data.splits and data.labelled(name).any()), None)
    if split is None or scores_of is None:
        return lambda layers: None
    stored = scores_of(split)

    @cache
    def read(layers: int) -> HeldOut:
        labelled = data.labelled(split).nonzero().flatten()
        order = torch.randperm(len(labelled), generator=torch.Generator().manual_seed(0))
        labelled = labelled[order[:MOST_ROWS].sort().values]
        labels = data.labels(split)[labelled]
        scores = stored.rows(labelled).transpose(0, 1)[:layers].contiguous()
        return HeldOut(scores, labels, lambda scores: data.space.label_loss(scores, labels))

    return lambda layers: (lambda: read(layers)) if layers <= stored.shape[1] else None
