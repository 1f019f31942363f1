"""Which layers take part while a phase runs (PID, SID), and the even map of layers (TinyBERT)."""

from __future__ import annotations

import pytest
import torch
from ukd_plugins.projectors.fixed import FixedOptions, FixedProjector
from ukd_plugins.terms.attention_map import AttentionMapOptions, AttentionMapTerm
from ukd_plugins.terms.mapped_layers import MappedOptions
from ukd_plugins.terms.pooled_cosine import PooledCosineTerm

from ukd_core.testing.parts import installed, small_space
from ukd_core.testing.term_inputs import Layers, random_batch

SPACE = small_space(installed().output_spaces["classes"])
LAYERS = Layers((4, 4, 4), (4, 4, 4))


def cosine(schedule):
    return PooledCosineTerm(MappedOptions(schedule=schedule), LAYERS.setup(SPACE, installed()))


@pytest.mark.parametrize(("schedule", "expected"), [
    ("progressive", ["0", "0", "0", "1", "1", "1", "2", "2", "2"]),
    ("stacked", ["0", "0", "0", "01", "01", "01", "012", "012", "012"]),
    ("all", ["012"] * 9)])
def test_layers_come_by_equal_parts_from_the_bottom(schedule, expected):
    term, seen = cosine(schedule), []
    assert list(term.active) == [0, 1, 2]
    for step in range(9):
        term.on_progress(step / 9)
        seen.append("".join(map(str, term.active)))
    assert seen == expected


@pytest.mark.parametrize("students", [1, 3, 6, 7, 12])
@pytest.mark.parametrize("steps", [12, 84, 1000])
def test_every_layer_has_its_part_whatever_the_rounding(students, steps):
    term = PooledCosineTerm(MappedOptions(schedule="progressive"), Layers((4,) * students, (4,)).setup(SPACE,
                                                                                                     installed()))
    counts = [0] * students
    for step in range(steps):
        term.on_progress(step / steps)
        (layer,) = term.active
        counts[layer] += 1
        assert layer == step * students // steps
    assert max(counts) - min(counts) <= 1


def test_what_is_summed_is_what_takes_part():
    batch = random_batch(SPACE, LAYERS, 4, 0)
    stacked, alone, whole = cosine("stacked").double(), cosine("progressive").double(), cosine("all").double()
    parts = []
    for part in range(3):
        stacked.on_progress(part / 3)
        alone.on_progress(part / 3)
        parts.append(alone(batch).item())
        assert stacked(batch).item() == pytest.approx(sum(parts))
    assert whole(batch).item() == pytest.approx(sum(parts)) and len(set(parts)) == 3


def test_only_the_layer_whose_turn_it_is_gets_a_gradient():
    batch = random_batch(SPACE, LAYERS, 4, 0)
    term = AttentionMapTerm(AttentionMapOptions(schedule="progressive", distance="kl"),
                            LAYERS.setup(SPACE, installed()))
    for maps in batch.student.attentions:
        maps.requires_grad_()
    term.on_progress(0.5)
    term(batch).backward()
    assert [maps.grad is not None for maps in batch.student.attentions] == [False, True, False]


@pytest.mark.parametrize(("students", "teachers", "layers"), [
    (4, 12, [2, 5, 8, 11]), (6, 12, [1, 3, 5, 7, 9, 11]), (3, 3, [0, 1, 2]), (1, 12, [11]), (2, 1, [0, 0]),
    (5, 12, [2, 4, 7, 9, 11]), (4, 6, [1, 2, 4, 5]), (4, 2, [0, 0, 1, 1]), (7, 3, [0, 0, 1, 1, 2, 2, 2])])
def test_the_even_map(students, teachers, layers):
    weights = FixedProjector(FixedOptions(strategy="even"))(torch.zeros(students, 1, 2),
                                                            torch.zeros(teachers, 1, 2)).weights
    assert weights.argmax(dim=1).flatten().tolist() == layers


def test_a_map_that_is_drawn_anew_moves_with_the_phase():
    term = PooledCosineTerm(MappedOptions(projector="random:draws=9"), Layers((4,), (4,) * 30).setup(SPACE,
                                                                                                   installed()))
    seen = set()
    for part in range(9):
        term.on_progress(part / 9)
        ((share,),) = term.shares()
        seen.add(share[0])
        assert share[1] == 1.0
    assert len(seen) > 4
