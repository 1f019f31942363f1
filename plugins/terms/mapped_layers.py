"""What terms share that compare single layers: which teacher layers each student layer has, and when it takes part."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ukd_core import Options, Term, TermInput, TermSetup, full_precision
from ukd_core.errors import InputError

from .hidden import kept_map

Share = tuple[int, float]
"""A teacher layer, and how much of it a student layer's target holds."""


class MappedOptions(Options):
    """Which layers are matched, and when."""

    projector: str | None = None
    """Who chooses the teacher's layers, as ``name:key=value``; None: the run's projector, else ``fixed:strategy=skip``.
    It is shown no states: one that weighs layers by what they say weighs them equally here."""
    schedule: Literal["all", "progressive", "stacked"] = "all"
    """`all`: every student layer in every step. `progressive`: the phase has one equal part for each student layer,
    from the bottom up, and in it that layer alone. `stacked`: the same, with the layers below staying in the sum."""


class MappedTerm(Term):
    """Sum over the student layers that take part of the mean over units of their distance from their targets.

    All layers of both models can take part, the last ones included. Which do follows from the progress of the phase
    alone: with S student layers and progress f layer min(⌊S·f⌋, S − 1) is the newest one. Until `on_progress` is called
    all take part.
    """

    options: Any

    def __init__(self, options: Any, setup: TermSetup) -> None:
        super().__init__(options, setup)
        self.layers = (len(setup.student_widths), setup.teacher_layers)
        spec = self.options.projector or setup.projector or "fixed:strategy=skip"
        self.projector = setup.make_projector(spec, *self.layers, 1)
        self.active = range(self.layers[0])

    def on_progress(self, fraction: float) -> None:
        """Choose the student layers of the next step, and let the projector do so too."""
        super().on_progress(fraction)
        students = self.layers[0]
        if self.options.schedule != "all":
            # Products of fractions fall short by a rounding error, which must not hold a layer back.
            newest = min(int(fraction * students + 1e-9), students - 1)
            self.active = range(0 if self.options.schedule == "stacked" else newest, newest + 1)

    def forward(self, batch: TermInput) -> Tensor:
        """The loss of a batch, shape ()."""
        shares = self.shares()
        with full_precision(batch.student.logits):
            return torch.stack([self.distances(batch, layer, shares[layer]).mean() for layer in self.active]).sum()

    @abstractmethod
    def distances(self, batch: TermInput, layer: int, shares: Sequence[Share]) -> Tensor:
        """How far a student layer is from its target.

        Args:
            batch: The batch; autocast is off.
            layer: The student layer.
            shares: Its teacher layers.

        Returns:
            Shape (units,), float32 at least.
        """

    def shares(self) -> list[list[Share]]:
        """The teacher layers of each student layer, as the projector has them for a unit of which it sees nothing."""
        # A third in float32 is so far from a third that states of a size of ten thousand would be seen to move.
        like = next(self.projector.parameters(), torch.zeros((), dtype=torch.float64))
        nothing = [like.new_zeros(layers, 1, 1) for layers in self.layers]
        weights = self.projector(*nothing).weights[..., 0].tolist()
        return [[(layer, share) for layer, share in enumerate(row) if share > 0.0] for row in weights]

    def missing(self, what: str) -> InputError:
        """The error for a batch without `what`."""
        return InputError(f"term '{self.name}'", f"expected {what} in the batch, got none",
                          "Give the run a teacher, or leave this term out.")


def mixed(layers: Mapping[int, Tensor], shares: Sequence[Share]) -> Tensor:
    """Σ share · layer, in the shape of the layers; a layer alone is not copied.

    Args:
        layers: The teacher layers in `shares` by their number, of one shape (units, ...).
        shares: As `MappedTerm.shares` has them, summing to 1.

    Returns:
        The shape of one of them.
    """
    (first, share), *others = shares
    return sum((layers[layer] * part for layer, part in others), layers[first] * share if others else layers[first])


def student_maps(widths: Sequence[int], width: int) -> nn.ModuleList:
    """A linear map to `width` for every layer that has another; they learn with the student."""
    return nn.ModuleList(nn.Identity() if own == width else nn.Linear(own, width) for own in widths)


def teacher_maps(widths: Sequence[int], width: int) -> nn.ModuleList:
    """A kept map with orthonormal rows or columns to `width` for every layer that has another; they never learn."""
    return nn.ModuleList(nn.Identity() if own == width else kept_map(own, width) for own in widths)
