"""Label confidence: teacher layers weigh by how probable they find the labels of held-out rows."""

from __future__ import annotations

from typing import final

from pydantic import Field
from torch import Tensor

from ukd_core import HeldOut, Options

from .held_out import HeldOutProjector, mean_loss


class LabelConfidenceOptions(Options):
    """How much better layers are preferred."""

    temperature: float = Field(default=10.0, ge=1e-6, le=1e6)
    """Divides the losses before the softmax over teacher layers; greater is more even."""


@final
class LabelConfidenceProjector(HeldOutProjector):
    """Weights teacher layers by their label loss on held-out rows, alike for all units and student layers.

    Formula: weights[s, t, u] = softmax_t(−NLL_t / temperature), NLL_t the mean label loss of layer t over the rows of
    `HeldOut`, in nats (squared units for regression). Nothing is learned. At the default of 10 the weights are nearly
    even: a layer whose loss is 1 nat lower weighs a tenth more.

    Source: Sun et al., LEAD: Liberal Feature-based Distillation for Dense Retrieval, https://arxiv.org/abs/2212.05225;
    the temperature is that of the authors' code. There each pair of layers is matched with a loss of its own weight
    (`matching=losses` of the layer terms), for layers that are drawn anew every few steps, and NLL is that of the batch
    at hand. Ours is of held-out rows: fitted heads know the labels of their training rows, unlabelled rows have none.
    """

    name = "label-confidence"
    summary = "teacher layers that find held-out labels more probable weigh more"
    Options = LabelConfidenceOptions
    options: LabelConfidenceOptions

    def found_shares(self, rows: HeldOut) -> Tensor:
        """Softmax over the layers of their negative loss; shape (T,), float64."""
        losses = mean_loss(rows, rows.scores.double())
        return ((losses.min() - losses) / self.options.temperature).softmax(dim=0)
