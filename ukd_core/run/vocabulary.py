"""Training without the embedding rows that no text of the task reads.

A pretrained encoder has some 30,000 rows, a task's texts use a few thousand. A row that is never read has no gradient,
and AdamW only shrinks it by weight decay; yet to update, save and load the whole table costs most of a small student's
time. Here such rows are left out while a model is trained, and put back unchanged afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ukd_core.run.rows import TokenizedRows

if TYPE_CHECKING:
    from ukd_core.layer_source import LayerSource

WORTH_IT = 0.9
"""Share of the rows in use above which nothing is gained."""
IDS_AT_ONCE = 1 << 20
"""Tokens that are looked at together; their file may be larger than memory."""


@dataclass(frozen=True)
class TrimmedVocabulary:
    """The rows of a model's embedding table that its texts read, and all of them as they were."""

    source: LayerSource
    full: nn.Embedding
    """The table before."""
    used: Tensor
    """Ids in use, ascending, shape (rows kept,), int64."""

    def restore(self) -> None:
        """Put the trained rows back into the full table."""
        trained = self.source.model.get_input_embeddings()
        with torch.no_grad():
            self.full.to(trained.weight.device)
            self.full.weight[self.used.to(trained.weight.device)] = trained.weight.to(self.full.weight.dtype)
        self.source.model.set_input_embeddings(self.full)


def trim_vocabulary(source: LayerSource, rows: Mapping[str, TokenizedRows]
                    ) -> tuple[Mapping[str, TokenizedRows], TrimmedVocabulary | None]:
    """Leave only the rows that some split reads in the embedding table of `source`.

    Args:
        source: The model, changed in place.
        rows: Its tokenized splits.

    Returns:
        The splits with the ids of the small table, and what puts the rest back; the same splits and None where the
        model shows no table, has no plain one, or uses nearly all of it.
    """
    if source.input_embeddings() is None:
        return rows, None
    full = source.model.get_input_embeddings()
    if type(full) is not nn.Embedding or full.max_norm is not None or full.scale_grad_by_freq:
        return rows, None
    reads = torch.zeros(full.num_embeddings, dtype=torch.bool)
    for part in rows.values():
        for ids in torch.split(part.ragged.columns["input_ids"], IDS_AT_ONCE):
            reads[ids.long()] = True
    # Models know the padding id by its number, so all ids up to it keep theirs.
    reads[: source.padding()["input_ids"] + 1] = True
    used = reads.nonzero().flatten()
    if len(used) > WORTH_IT * full.num_embeddings:
        return rows, None
    small = nn.Embedding(len(used), full.embedding_dim, padding_idx=full.padding_idx,
                         _weight=full.weight.detach()[used.to(full.weight.device)].clone())
    small.weight.requires_grad_(full.weight.requires_grad)
    source.model.set_input_embeddings(small)
    number = torch.full((full.num_embeddings,), -1, dtype=torch.int32)
    number[used] = torch.arange(len(used), dtype=torch.int32)
    return {name: replace(part, number=number) for name, part in rows.items()}, TrimmedVocabulary(source, full, used)
