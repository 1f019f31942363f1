"""What the teacher pass takes in time and memory, before it is run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ukd_core.run.cache.building import SHARD_ROWS
from ukd_core.run.forward import MOST_STREAMS, TOKEN_BUDGET, forward_rows
from ukd_core.run.preflight.timing import typical_seconds
from ukd_core.run.rows import TokenizedRows

if TYPE_CHECKING:
    from ukd_core.layer_source import LayerSource
    from ukd_core.run.data import TaskData
    from ukd_core.run.preflight.reading import Reading

BATCH_TOKENS = TOKEN_BUDGET["cpu"]
MOST_TIMES = 20
"""Passes over the batches, at most, from which the pace is taken."""
WITHIN_A_LAYER = 10
"""Numbers for each token and unit of width that a layer holds beside its result: four for the feed-forward part, twice,
and the rest for attention."""
FIT_STATES = 4
"""Float64 copies of a layer's states while its head is fitted, the float32 ones included."""
FIT_SCORES = 24
"""The same of its scores: link, loss, gradients, and what the memory pool keeps of the fits before; as measured with
500 of them and four layers."""
FIT_WEIGHTS = 44
"""The same of its weights: L-BFGS keeps twenty steps and twenty changes of the gradient."""
SHARD_SCORES = 4
"""Copies of a shard's scores: layer by layer, joined, and as the bytes that are written."""


def pass_pace(source: LayerSource, reading: Reading, data: TaskData, max_length: int) -> float:
    """Tokens that a teacher reads in a second, padding not counted, in batches as the pass has them.

    Args:
        source: The teacher.
        reading: Says which training rows are of typical length.
        data: Texts or pairs.
        max_length: Longest input in tokens, as the recipe says.
    """
    streams = min(torch.get_num_threads(), MOST_STREAMS)
    count = math.ceil((1 + streams) * BATCH_TOKENS / max(reading.mean, 1.0))
    chosen = reading.typical()[:count]
    part = data.splits["train"].select(chosen.tolist())
    rows = TokenizedRows.of(source, part["text"][:], part["pair"][:] if data.pairs else None, max_length)
    everything = torch.arange(len(rows))
    first = everything[: max(1, len(rows) // (1 + streams))]
    _forward(source, rows, first)  # kernels and memory pools are made in the first batch
    rest = everything[len(first):] if len(first) < len(rows) else everything
    return int(rows.lengths()[rest].sum()) / typical_seconds(lambda: _forward(source, rows, rest), MOST_TIMES)


def pass_bytes(source: LayerSource, rows: Mapping[str, int], size: int, head_rows: int) -> int:
    """Most memory of the pass beside the models and the texts: a shard's states or scores, or the fit of a head.

    What batches needed is not given back before the fit.

    Args:
        source: The teacher.
        rows: Rows of each split.
        size: C, the number of scores.
        head_rows: Most rows that the heads are fitted on.
    """
    widest, shard = max(source.widths), min(max(rows.values()), SHARD_ROWS)
    states, scores = sum(source.widths) + size, (source.num_layers + 1) * size
    streams = min(torch.get_num_threads(), MOST_STREAMS)
    batches = streams * BATCH_TOKENS * (states + WITHIN_A_LAYER * widest)
    fitted = min(rows["train"], head_rows)
    fit = fitted * (FIT_STATES * widest + FIT_SCORES * size) + FIT_WEIGHTS * size * widest
    return max(4 * (2 * shard * states + batches), 4 * shard * (states + SHARD_SCORES * scores), 4 * batches + 8 * fit)


def _forward(source: LayerSource, rows: TokenizedRows, chosen: Tensor) -> None:
    for _ in forward_rows(source, rows, chosen):
        pass
