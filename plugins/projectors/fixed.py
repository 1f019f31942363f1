"""Fixed maps: each student layer has its teacher layers, chosen before training."""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal, final

import torch
from pydantic import Field
from torch import Tensor

from ukd_core import Options, Projector
from ukd_core.errors import InputError

Pair = tuple[int, int]


class FixedOptions(Options):
    """Which map."""

    strategy: Literal["uniform", "last", "skip", "even", "reversed", "final", "buckets", "overlapping",
                      "pairs"] = "skip"
    """`uniform`: all teacher layers equally. `last`: the last S teacher layers in order. `skip`: evenly spaced ones.
    `even`: evenly spaced ones, the last for the last. `reversed`: those of `skip`, the deepest first. `final`: the last
    teacher layer for all. `buckets`: neighbouring teacher layers shared out. `overlapping`: the same, each bucket with
    its neighbours' nearest layers."""
    pairs: tuple[Pair, ...] = Field(default=())
    """For `pairs`: [student layer, teacher layer], counted from 0; several teachers of one student are averaged."""


@final
class FixedProjector(Projector):
    """Gives every student layer the same teacher layers for all units.

    The maps, with S student and T teacher layers counted from 0 (fewer teacher than student layers are shared):

    - `uniform`: weight 1/T on every teacher layer.
    - `last`: student layer j learns from teacher layer max(T − S + j, 0).
    - `skip`: student layer j learns from teacher layer max(⌊(j + 1)·(T + 1)/(S + 1)⌋ − 1, 0): evenly spaced between
      the embeddings below and the classifiers above, which are not among the S and T layers. A student of 6 layers
      (S = 5 without the final one) and a teacher of 12 (T = 11) give 1, 3, 5, 7, 9, the map of PKD.
    - `even`: student layer j learns from teacher layer ⌈(j + 1)·T/S⌉ − 1, counted from 1 g(m) = m·T/S rounded up: the
      map of TinyBERT (Jiao et al., Findings of EMNLP 2020), which has T a multiple of S. The last learns from the last.
    - `reversed`: student layer j learns from the teacher layer that `skip` gives to layer S − 1 − j.
    - `final`: every student layer learns from teacher layer T − 1.
    - `buckets`: student layer j learns from the mean of teacher layers ⌊j·T/S⌋ … ⌊(j + 1)·T/S⌋ − 1, at least one.
    - `overlapping`: the same buckets, each with one more layer at either end where there is one.
    - `pairs`: as listed.

    Source: skip and last are PKD's (Sun et al., EMNLP-IJCNLP 2019); a pair for each layer is also MHKD's. Buckets are
    the regular and the overlapping combination of CKD (Wu et al., EMNLP 2020), there for 6 layers and 2. The reversed
    map is a baseline: in hidden space it does about as well (https://arxiv.org/abs/2502.04499).
    """

    name = "fixed"
    summary = "a map chosen before training: skip, even, last, final, reversed, uniform or pairs"
    Options = FixedOptions
    options: FixedOptions
    exceptions = MappingProxyType({
        "check_teacher_permutation": "the map goes by the position of a teacher layer, not by what it says",
    })

    def weights(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The map as shares, the same for all units; shapes and dtypes as in `Projector.weights`.

        Raises:
            InputError: `pairs` names a layer that does not exist, or leaves a student layer without a teacher.
        """
        layers = (student.shape[0], teacher.shape[0])
        shares = torch.zeros(layers, dtype=torch.float64)
        for student_layer, teacher_layer in self._pairs(*layers):
            shares[student_layer, teacher_layer] = 1.0
        shares /= shares.sum(dim=1, keepdim=True)
        return shares.to(student).unsqueeze(-1).expand(*layers, student.shape[1])

    def _pairs(self, students: int, teachers: int) -> tuple[Pair, ...]:
        strategy = self.options.strategy
        if strategy == "pairs":
            return _checked(self.options.pairs, students, teachers)
        if strategy == "uniform":
            return tuple((j, i) for j in range(students) for i in range(teachers))
        if strategy in ("buckets", "overlapping"):
            more = int(strategy == "overlapping")
            return tuple((j, i) for j in range(students) for i in _bucket(j, students, teachers, more))
        if strategy == "last":
            return tuple((j, max(teachers - students + j, 0)) for j in range(students))
        if strategy == "final":
            return tuple((j, teachers - 1) for j in range(students))
        if strategy == "even":
            return tuple((j, -(-(j + 1) * teachers // students) - 1) for j in range(students))
        skipped = [_skipped_to(j, students, teachers) for j in range(students)]
        return tuple(enumerate(skipped[::-1] if strategy == "reversed" else skipped))


def _skipped_to(layer: int, students: int, teachers: int) -> int:
    return max((layer + 1) * (teachers + 1) // (students + 1) - 1, 0)


def _bucket(layer: int, students: int, teachers: int, more: int) -> range:
    first = layer * teachers // students
    end = max((layer + 1) * teachers // students, first + 1)
    return range(max(first - more, 0), min(end + more, teachers))


def _checked(pairs: tuple[Pair, ...], students: int, teachers: int) -> tuple[Pair, ...]:
    where = "projector 'fixed'"
    for pair in pairs:
        for side, index, count in (("student", pair[0], students), ("teacher", pair[1], teachers)):
            if not 0 <= index < count:
                raise InputError(where, f"expected layers that exist, got {side} layer {index} in pair {list(pair)}",
                                 f"Valid {side} layers are 0..{count - 1}.")
    without = sorted(set(range(students)) - {pair[0] for pair in pairs})
    if without:
        raise InputError(where, f"expected a teacher layer for every student layer, got none for {without}",
                         f"List a pair for each of the student layers 0..{students - 1}.")
    return pairs
