"""The term on hidden states: which layers, which maps, and the concatenated form against an oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ukd_plugins.output_spaces.classes import ClassesSpace
from ukd_plugins.pseudo_heads.linear import LinearHead
from ukd_plugins.terms.hidden import HiddenOptions, HiddenTerm

from ukd_core import LayerStates, TermInput, TermSetup
from ukd_core.errors import InputError
from ukd_core.testing.parts import projectors_of

SPACE = ClassesSpace(["a", "b"])


@pytest.fixture
def make(registry):
    def term(students=(4, 4), teachers=(6, 6, 6, 6), **options):
        torch.manual_seed(0)
        return HiddenTerm(HiddenOptions(**options), TermSetup(
            space=SPACE, student_widths=students, teacher_layers=len(teachers), temperature=None, projector=None,
            make_projector=projectors_of(registry, SPACE), make_head=lambda width: LinearHead(width, 2),
            teacher_widths=teachers))

    return term


def batch_of(students=(4, 4), teachers=(6, 6, 6, 6), units=3):
    torch.manual_seed(1)
    return TermInput(
        student=LayerStates(pooled=tuple(torch.randn(units, width) for width in students),
                            logits=torch.randn(units, 2)),
        labels=torch.full((units,), SPACE.missing), labelled=torch.zeros(units, dtype=torch.bool), teacher_scores=None,
        teacher_states=tuple(torch.randn(units, width) for width in teachers))


def maps(modules):
    return [(module.in_features, module.out_features) if isinstance(module, torch.nn.Linear) else None
            for module in modules]


@pytest.mark.parametrize(("students", "teachers", "options", "student_maps", "teacher_maps"), [
    ((6, 6), (6, 6, 6), {}, [None], [None, None]),
    ((6, 6), (6, 6, 6), {"include_final": True}, [None, None], [None, None, None]),
    ((4, 4), (6, 6, 6), {"include_final": True}, [(4, 6), (4, 6)], [None, None, None]),
    ((6, 6), (6, 6, 6), {"width": 6}, [(6, 6)], [(6, 6), (6, 6)]),
    ((4,), (6, 5), {"include_final": True}, [(4, 5)], [(6, 5), None]),
    ((4,), (6,), {}, [(4, 6)], [None]),
])
def test_maps_are_there_where_widths_differ_or_one_is_asked_for(make, students, teachers, options, student_maps,
                                                                teacher_maps):
    term = make(students, teachers, **options)
    assert (maps(term.student_maps), maps(term.teacher_maps)) == (student_maps, teacher_maps)
    assert all(not parameter.requires_grad for parameter in term.teacher_maps.parameters())


def test_equal_states_cost_nothing(make):
    term = make((6, 6), projector="fixed:strategy=pairs,pairs=[[0,2]]")
    batch = batch_of((6, 6))
    same = TermInput(LayerStates((batch.teacher_states[2], torch.randn(3, 6)), torch.randn(3, 2)), batch.labels,
                     batch.labelled, None, batch.teacher_states)
    assert term(same).item() == 0.0 and term(batch).item() > 0.1


@pytest.mark.parametrize("distance", ["sum", "mean"])
def test_concatenated_states_are_compared_as_one(make, distance):
    term = make((4, 5, 3), projector="fixed:strategy=pairs,pairs=[[0,0],[1,2]]", width=7, normalise=True,
                combine="concatenated", distance=distance)
    batch = batch_of((4, 5, 3))
    (own_map,), (kept_map,) = term.student_maps, term.teacher_maps
    np.testing.assert_allclose(kept_map.weight @ kept_map.weight.T, np.eye(7), atol=1e-6)
    expected = []
    for unit in range(3):
        own = np.concatenate([batch.student.pooled[0][unit], batch.student.pooled[1][unit]]).astype(np.float64)
        target = np.concatenate([batch.teacher_states[0][unit], batch.teacher_states[2][unit]]).astype(np.float64)
        one = own_map.weight.detach().double().numpy() @ own + own_map.bias.detach().double().numpy()
        other = kept_map.weight.double().numpy() @ target
        difference = (one / np.linalg.norm(one) - other / np.linalg.norm(other)) ** 2
        expected.append(difference.sum() if distance == "sum" else difference.mean())
    assert term(batch).item() == pytest.approx(np.mean(expected), rel=1e-5)


def test_concatenation_needs_layers_of_one_width(make):
    with pytest.raises(InputError) as refused:
        make((4, 4), (6, 5, 6), combine="concatenated")
    assert str(refused.value) == ("term 'hidden': expected teacher layers of one width, got 5, 6. "
                                  "Use combine=layers.")


def test_without_a_teacher_it_says_so(make):
    batch = batch_of()
    alone = TermInput(batch.student, batch.labels, batch.labelled, None, None)
    with pytest.raises(InputError) as refused:
        make()(alone)
    assert str(refused.value) == ("term 'hidden': expected the teacher's states in the batch, got none. "
                                  "Give the run a teacher, or leave this term out.")
