"""What changes while a phase runs: the size of the teacher's scores, the map of layers, weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from ukd_plugins.projectors.fixed import FixedOptions, FixedProjector
from ukd_plugins.projectors.random import RandomOptions, RandomProjector
from ukd_plugins.terms.annealed_scores import AnnealedScoresOptions, AnnealedScoresTerm
from ukd_plugins.terms.layer_kd import LayerKDOptions, LayerKDTerm

from ukd_core import ProjectorSetup
from ukd_core.testing.parts import installed, small_space
from ukd_core.testing.term_inputs import Layers, random_batch


def mapped(projector, students, teachers):
    """Teacher layer of each student layer."""
    weights = projector(torch.zeros(students, 1, 2), torch.zeros(teachers, 1, 2)).weights
    assert torch.equal(weights.sum(dim=1), torch.ones(students, 1)) and set(weights.flatten().tolist()) <= {0.0, 1.0}
    return weights.argmax(dim=1).flatten().tolist()


def test_annealed_scores_grow_by_equal_parts():
    term = AnnealedScoresTerm(AnnealedScoresOptions(temperatures=4),
                              Layers((4,), (4,)).setup(small_space(installed().output_spaces["classes"]), installed()))
    scales = []
    for step in range(8):
        term.on_progress(step / 8)
        scales.append(term.scale)
    assert scales == [0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 1.0, 1.0]


def test_layers_grow_as_the_answer_does():
    layers, space = Layers((4, 4), (4, 4)), small_space(installed().output_spaces["classes"])
    term = LayerKDTerm(LayerKDOptions(annealing=4), layers.setup(space, installed()))
    scales = [term.scale]
    for step in range(8):
        term.on_progress(step / 8)
        scales.append(term.scale)
    assert scales == [1.0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 1.0, 1.0]
    seen = random_batch(space, layers, 3, 0, dtype=torch.float32)
    grown = replace(seen, teacher_scores=seen.teacher_scores * 0.25)
    term.on_progress(0.9)
    expected = term(grown)
    term.on_progress(0.1)
    torch.testing.assert_close(term(seen), expected)


def test_annealed_scores_grow_with_the_passes():
    # 7 temperatures T = 7 … 1 over 14 passes: two passes each, as the paper has it; φ = 1 − (T − 1)/7.
    term = AnnealedScoresTerm(None, Layers((4,), (4,)).setup(small_space(installed().output_spaces["classes"]),
                                                            installed()))
    for passed in range(14):
        term.on_progress(passed / 14)
        assert term.scale == pytest.approx(1 - ((7 - passed // 2) - 1) / 7)


@pytest.mark.parametrize("passes", [1, 3, 49])
def test_a_random_map_is_drawn_once_a_pass(passes):
    projector = RandomProjector(setup=ProjectorSetup(2, 30, 2, passes=passes))
    maps = []
    for number in range(passes):
        projector.on_progress(number / passes)
        first = mapped(projector, 2, 30)
        projector.on_progress((number + 0.99) / passes)
        assert mapped(projector, 2, 30) == first
        maps.append(tuple(first))
    assert len(set(maps)) >= 0.8 * passes


def test_a_random_map_may_be_drawn_once_for_all():
    projector = RandomProjector(RandomOptions(draws=1, seed=4), ProjectorSetup(3, 9, 2, passes=20))
    first = mapped(projector, 3, 9)
    projector.on_progress(0.95)
    assert mapped(projector, 3, 9) == first


def test_random_maps_have_no_layer_twice_and_go_up():
    projector = RandomProjector(RandomOptions(draws=200))
    seen = set()
    for number in range(200):
        projector.on_progress(number / 200)
        layers = mapped(projector, 3, 5)
        assert layers == sorted(set(layers))
        seen.add(tuple(layers))
    assert len(seen) == 10  # all choices of 3 out of 5


def test_more_student_than_teacher_layers_share_them_evenly():
    layers = mapped(RandomProjector(), 7, 3)
    assert layers == sorted(layers) and {layers.count(layer) for layer in range(3)} == {2, 3}


def test_unordered_maps_occur():
    projector = RandomProjector(RandomOptions(draws=20, ordered=False))
    maps = []
    for number in range(20):
        projector.on_progress(number / 20)
        maps.append(mapped(projector, 3, 5))
    assert any(layers != sorted(layers) for layers in maps)


@pytest.mark.parametrize(("strategy", "layers"), [
    ("skip", [1, 3, 5, 7, 9]), ("reversed", [9, 7, 5, 3, 1]), ("last", [6, 7, 8, 9, 10]), ("final", [10] * 5)])
def test_fixed_maps_of_five_layers_to_eleven(strategy, layers):
    assert mapped(FixedProjector(FixedOptions(strategy=strategy)), 5, 11) == layers


@pytest.mark.parametrize(("strategy", "students", "teachers", "buckets"), [
    ("buckets", 2, 6, [[0, 1, 2], [3, 4, 5]]),  # the regular combination of CKD's code, counted from 0
    ("overlapping", 2, 6, [[0, 1, 2, 3], [2, 3, 4, 5]]),  # its overlapping one
    ("buckets", 3, 7, [[0, 1], [2, 3], [4, 5, 6]]),
    ("buckets", 3, 2, [[0], [0], [1]]),
    ("overlapping", 1, 1, [[0]]),
])
def test_buckets_share_the_teachers_layers_out(strategy, students, teachers, buckets):
    projector = FixedProjector(FixedOptions(strategy=strategy))
    weights = projector(torch.zeros(students, 1, 2), torch.zeros(teachers, 1, 2)).weights[..., 0]
    assert [row.nonzero().flatten().tolist() for row in weights] == buckets
    for row, bucket in zip(weights, buckets, strict=True):
        torch.testing.assert_close(row[bucket], torch.full((len(bucket),), 1 / len(bucket)))
