"""Batches for terms: what they are built for, what they see, and the same with other units or less in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from ukd_core.catalogue import Registry
from ukd_core.layer_source import SHOWABLE, LayerStates
from ukd_core.output_space import OutputSpace
from ukd_core.term import TermInput, TermSetup
from ukd_core.testing.parts import FirstColumns, missing_labels, projectors_of, some_labels
from ukd_core.testing.strategies import KINDS, Kind, random_tensor

NEEDS = frozenset({"labels", "known-labels", "teacher-scores", "teacher-states",
                   *(f"{side}-{what}" for side in ("student", "teacher") for what in SHOWABLE)})
"""What a term may need."""
HEADS, TEACHER_HEADS, LENGTH = 2, 3, 3
"""Of the attention maps and token states in a batch."""


@dataclass(frozen=True, slots=True)
class Layers:
    """The two models that a term stands between."""

    student_widths: tuple[int, ...]
    teacher_widths: tuple[int, ...]
    temperature: float | None = None

    def setup(self, space: OutputSpace, registry: Registry, *, bare_heads: bool = False) -> TermSetup:
        """What a term is built with.

        Args:
            space: The output space.
            registry: Where projectors and the linear head come from.
            bare_heads: Give heads without weights, whose scores are the first features of a state.
        """
        head = FirstColumns if bare_heads else registry.pseudo_heads.lookup("linear")
        return TermSetup(space=space, student_widths=self.student_widths, teacher_layers=len(self.teacher_widths),
                         temperature=self.temperature, projector=None, make_projector=projectors_of(registry, space),
                         make_head=lambda width: head(width, space.size), teacher_widths=self.teacher_widths,
                         student_embedding_width=self.student_widths[0], teacher_embedding_width=self.teacher_widths[0])


def random_batch(space: OutputSpace, layers: Layers, units: int, seed: int, *, kind: Kind = "ordinary",
                 dtype: torch.dtype = torch.float64) -> TermInput:
    """A batch with everything in it, all units labelled.

    Args:
        space: The output space.
        layers: Widths of both models.
        units: Number of units.
        seed: Of the numbers.
        kind: Which numbers scores and pooled states are.
        dtype: Of all scores and states.
    """
    generator = torch.Generator().manual_seed(seed)

    def some(*shape: int, of: Kind = kind) -> Tensor:
        return random_tensor(shape, of, generator, dtype)

    mask = torch.arange(LENGTH).expand(units, LENGTH) <= torch.arange(units).unsqueeze(1) % LENGTH

    def states(widths: tuple[int, ...], heads: int) -> LayerStates:
        maps = (some(units, heads, LENGTH, LENGTH, of="ordinary") for _ in widths)
        return LayerStates(
            pooled=tuple(some(units, width) for width in widths), logits=some(units, space.size),
            tokens=tuple(some(units, LENGTH, width) for width in widths),
            attentions=tuple(scores.masked_fill(~mask[:, None, None], -torch.inf).softmax(-1) for scores in maps),
            mask=mask, embeddings=some(units, LENGTH, widths[0]))

    student, teacher = states(layers.student_widths, HEADS), states(layers.teacher_widths, TEACHER_HEADS)
    labels = some_labels(space, units, generator)
    return TermInput(student=student, labels=labels, labelled=space.is_labelled(labels),
                     teacher_scores=some(len(layers.teacher_widths) + 1, units, space.size),
                     teacher_states=teacher.pooled, teacher=teacher)


@st.composite
def layer_counts(draw: st.DrawFn, max_layers: int = 3, least_width: int = 1) -> Layers:
    """Two models of one to `max_layers` layers, each layer with a width of its own."""
    widths = st.lists(st.integers(least_width, least_width + 2), min_size=1, max_size=max_layers).map(tuple)
    return Layers(draw(widths), draw(widths), draw(st.sampled_from([None, 1.0, 4.0])))


@st.composite
def term_batches(draw: st.DrawFn, space: OutputSpace, layers: Layers, *, kinds: Sequence[Kind] = KINDS,
                 dtype: torch.dtype = torch.float64) -> TermInput:
    """A batch with everything in it, some units unlabelled.

    Args:
        draw: Given by Hypothesis.
        space: The output space.
        layers: Widths of both models.
        kinds: Which values occur.
        dtype: Of all scores and states.
    """
    units, seed = draw(st.integers(1, 3)), draw(st.integers(0, 2**31))
    batch = random_batch(space, layers, units, seed, kind=draw(st.sampled_from(kinds)), dtype=dtype)
    pattern = draw(st.integers(0, 2**units - 1))
    kept = torch.tensor([bool(pattern >> unit & 1) for unit in range(units)])
    shape = (-1,) + (1,) * (batch.labels.ndim - 1)
    labels = torch.where(kept.view(shape), batch.labels, missing_labels(space, units))
    return replace(batch, labels=labels, labelled=space.is_labelled(labels))


def only(batch: TermInput, needs: frozenset[str], space: OutputSpace) -> TermInput:
    """The batch with nothing in it but what a term says it needs; labels that it does not need are missing."""
    shown = {side: {what for what in SHOWABLE if f"{side}-{what}" in needs} for side in ("student", "teacher")}
    labels = batch.labels if needs & {"labels", "known-labels"} else missing_labels(space, len(batch.labels))
    live = batch.teacher if shown["teacher"] else None
    return TermInput(student=_showing(batch.student, shown["student"]), labels=labels,
                     labelled=space.is_labelled(labels),
                     teacher_scores=batch.teacher_scores if "teacher-scores" in needs else None,
                     teacher_states=batch.teacher_states if "teacher-states" in needs else None,
                     teacher=None if live is None else _showing(live, shown["teacher"]))


def _showing(states: LayerStates, what: set[str]) -> LayerStates:
    hidden: dict[str, Any] = dict.fromkeys(SHOWABLE - what)
    return replace(states, mask=states.mask if what else None, **hidden)


def with_other(batch: TermInput, other: TermInput, need: str) -> TermInput:
    """The batch with one of the things that a term may need taken from another batch of the same shape."""
    if need in ("labels", "known-labels"):
        return replace(batch, labels=other.labels, labelled=other.labelled)
    if need == "teacher-scores":
        return replace(batch, teacher_scores=other.teacher_scores)
    if need == "teacher-states":
        return replace(batch, teacher_states=other.teacher_states)
    side, _, field = need.partition("-")
    changed = replace(getattr(batch, side), **{field: getattr(getattr(other, side), field)})
    return replace(batch, student=changed) if side == "student" else replace(batch, teacher=changed)


def take(batch: TermInput, units: Tensor) -> TermInput:
    """Some units of a batch, in the order asked for; `units` has the shape (any,), int64."""

    def rows(stack: tuple[Tensor, ...] | None) -> tuple[Tensor, ...] | None:
        return None if stack is None else tuple(layer[units] for layer in stack)

    def shown(states: LayerStates) -> LayerStates:
        return LayerStates(pooled=tuple(layer[units] for layer in states.pooled), logits=states.logits[units],
                           tokens=rows(states.tokens), attentions=rows(states.attentions),
                           mask=None if states.mask is None else states.mask[units],
                           embeddings=None if states.embeddings is None else states.embeddings[units])

    return TermInput(
        student=shown(batch.student), labels=batch.labels[units], labelled=batch.labelled[units],
        teacher_scores=None if batch.teacher_scores is None else batch.teacher_scores[:, units],
        teacher_states=rows(batch.teacher_states), teacher=None if batch.teacher is None else shown(batch.teacher))


def cast(batch: TermInput, dtype: torch.dtype) -> TermInput:
    """The batch with the student's scores and states in another dtype."""

    def rows(stack: tuple[Tensor, ...] | None) -> tuple[Tensor, ...] | None:
        return None if stack is None else tuple(layer.to(dtype) for layer in stack)

    student = batch.student
    return replace(batch, student=replace(
        student, pooled=tuple(layer.to(dtype) for layer in student.pooled), logits=student.logits.to(dtype),
        tokens=rows(student.tokens), attentions=rows(student.attentions),
        embeddings=None if student.embeddings is None else student.embeddings.to(dtype)))


def track(batch: TermInput) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Let gradients be taken: the student's floating tensors and the teacher's, each by name."""
    named, teacher = _named(batch.student), {} if batch.teacher is None else _named(batch.teacher, "teacher.")
    if batch.teacher_scores is not None:
        teacher["teacher_scores"] = batch.teacher_scores
    teacher.update({f"teacher_states[{index}]": layer for index, layer in enumerate(batch.teacher_states or ())})
    for tensor in (*named.values(), *teacher.values()):
        tensor.requires_grad_()
    return named, teacher


def _named(states: LayerStates, before: str = "") -> dict[str, Tensor]:
    """The floating tensors that a model shows, by name."""
    named = {f"{before}logits": states.logits}
    for what, stack in (("pooled", states.pooled), ("tokens", states.tokens), ("attentions", states.attentions)):
        named.update({f"{before}{what}[{index}]": layer for index, layer in enumerate(stack or ())})
    return named if states.embeddings is None else {**named, f"{before}embeddings": states.embeddings}
