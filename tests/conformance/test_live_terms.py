"""Terms on token states, attention maps, embeddings and directions: the laws, and float64 oracles from the formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ukd_plugins.terms.attention_map import AttentionMapOptions, AttentionMapTerm
from ukd_plugins.terms.mapped_layers import MappedOptions
from ukd_plugins.terms.pooled_cosine import PooledCosineTerm
from ukd_plugins.terms.token_embeddings import TokenEmbeddingsTerm
from ukd_plugins.terms.token_hidden import TokenHiddenTerm

from ukd_core import LayerStates, TermInput
from ukd_core.errors import InputError
from ukd_core.testing import TermCase, oracles, parametrize_with_checks
from ukd_core.testing.parts import installed, small_space
from ukd_core.testing.term_inputs import Layers, only, random_batch


def array(tensor):
    return tensor.detach().double().numpy()


def mapped(layer, states):
    if not isinstance(layer, torch.nn.Linear):
        return array(states)
    return oracles.linear(array(states), array(layer.weight),
                          np.zeros(layer.out_features) if layer.bias is None else array(layer.bias))


def skipped(j, students, teachers):
    return [(max(int((j + 1) * (teachers + 1) / (students + 1)) - 1, 0), 1.0)]


def even(j, students, teachers):
    return [(next(m for m in range(teachers) if (m + 1) * students >= (j + 1) * teachers), 1.0)]


def uniform(j, students, teachers):
    return [(i, 1.0 / teachers) for i in range(teachers)]


def layer_by_layer(distance, chosen):
    """Σ over the layers that take part of the mean over units of `distance(term, batch, unit, j, shares)`."""

    def reference(term, batch):
        students = len(batch.student.pooled)
        teachers = len(batch.teacher_states if batch.teacher is None else batch.teacher.pooled)
        return float(sum(np.mean([distance(term, batch, unit, j, chosen(j, students, teachers))
                                  for unit in range(len(batch.labels))]) for j in term.active))

    return reference


def map_distance(term, batch, unit, j, shares):
    tokens = [place for place, real in enumerate(batch.student.mask[unit].tolist()) if real]
    own = array(batch.student.attentions[j][unit])
    given = [(array(batch.teacher.attentions[i][unit]), share) for i, share in shares]
    if len({len(own), *(len(maps) for maps, _ in given)}) > 1:
        own, given = own.mean(0)[None], [(maps.mean(0)[None], share) for maps, share in given]
    target, total = sum(maps * share for maps, share in given), 0.0
    for head in range(len(own)):
        for row in tokens:
            a, b = (np.array([maps[head, row, column] for column in tokens]) for maps in (own, target))
            if term.options.distance == "kl":
                total += sum(q * np.log(q / p) for p, q in zip(a, b, strict=True)) / len(tokens)
            elif term.options.distance == "scores":
                total += ((oracles.centred(np.log(a)) - oracles.centred(np.log(b))) ** 2).sum() / len(tokens) ** 2
            else:
                total += ((a - b) ** 2).sum() / len(tokens) ** 2
    return total / len(own)


def token_distance(term, batch, unit, j, shares):
    own = mapped(term.student_maps[j], batch.student.tokens[j][unit])
    target = sum(mapped(term.teacher_maps[i], batch.teacher.tokens[i][unit]) * share for i, share in shares)
    return np.mean([((own[place] - target[place]) ** 2).mean()
                    for place, real in enumerate(batch.student.mask[unit].tolist()) if real])


def embeddings(term, batch):
    total = []
    for unit, mask in enumerate(batch.student.mask.tolist()):
        own, target = mapped(term.student_map, batch.student.embeddings[unit]), array(batch.teacher.embeddings[unit])
        total.append(np.mean([((own[place] - target[place]) ** 2).mean() for place, real in enumerate(mask) if real]))
    return float(np.mean(total))


def one_less_cosine(term, batch, unit, j, shares):
    own = mapped(term.student_maps[j], batch.student.pooled[j][unit][None])[0]
    target = sum(mapped(term.teacher_maps[i], batch.teacher_states[i][unit][None])[0] * share for i, share in shares)
    return 1.0 - sum(own * target) / (max(np.sqrt(sum(own ** 2)), 1e-4) * max(np.sqrt(sum(target ** 2)), 1e-4))


EVEN, UNIFORM = "fixed:strategy=even", "fixed:strategy=uniform"
CASES = [
    TermCase("attention-map", AttentionMapTerm, reference=layer_by_layer(map_distance, skipped)),
    TermCase("attention-map-scores", AttentionMapTerm, AttentionMapOptions(distance="scores", projector=EVEN),
             reference=layer_by_layer(map_distance, even)),
    TermCase("attention-map-kl", AttentionMapTerm, AttentionMapOptions(distance="kl", projector=UNIFORM),
             reference=layer_by_layer(map_distance, uniform)),
    TermCase("token-hidden", TokenHiddenTerm, MappedOptions(projector=UNIFORM, schedule="stacked"),
             reference=layer_by_layer(token_distance, uniform)),
    TermCase("token-embeddings", TokenEmbeddingsTerm, reference=embeddings),
    TermCase("pooled-cosine", PooledCosineTerm, MappedOptions(schedule="progressive"),
             reference=layer_by_layer(one_less_cosine, skipped)),
]


@parametrize_with_checks(*CASES)
def test_live_terms_keep_the_laws(case, check):
    check(case)


SPACE = small_space(installed().output_spaces["classes"])


TWO, ONE = Layers((4, 4), (4, 4)), Layers((4,), (4,))


def built(kind, options=None, layers=ONE):
    torch.manual_seed(0)
    return kind(options, layers.setup(SPACE, installed()))


def states_of(own, given, mask):
    """Two models of one layer that show these maps or tokens, (units, …)."""
    nothing = torch.zeros(len(mask), SPACE.size)

    def shown(tensor):
        kept = {"attentions" if tensor.ndim == 4 else "tokens": (tensor,)}
        return LayerStates((torch.zeros(len(mask), 4),), nothing, mask=mask, **kept)

    return TermInput(shown(own), torch.zeros(len(mask)).long(), torch.zeros(len(mask)).bool(), None, None, shown(given))


@pytest.mark.parametrize(("distance", "expected"), [
    # Two real tokens; head 0 differs in its first row, (0.5, 0.5) against (0.8, 0.2); head 1 agrees.
    ("mse", (0.09 + 0.09) / 8),
    ("scores", 2 * (np.log(4.0) / 2) ** 2 / 8),
    ("kl", (0.8 * np.log(1.6) + 0.2 * np.log(0.4)) / 4)])
def test_maps_by_hand(distance, expected):
    agreed = torch.tensor([[0.5, 0.5, 0.0], [0.25, 0.75, 0.0], [0.1, 0.2, 0.7]])
    other = agreed.clone()
    other[0] = torch.tensor([0.8, 0.2, 0.0])
    other[2] = torch.tensor([0.9, 0.0, 0.1])  # padding: counts neither as a row nor as a column
    batch = states_of(torch.stack([agreed, agreed])[None], torch.stack([other, agreed])[None],
                      torch.tensor([[True, True, False]]))
    term = built(AttentionMapTerm, AttentionMapOptions(distance=distance))
    assert term(batch).item() == pytest.approx(expected, rel=1e-5)


def test_scores_are_those_before_the_softmax_up_to_a_constant():
    torch.manual_seed(0)
    scores = torch.randn(2, 1, 2, 5, 5)
    term = built(AttentionMapTerm, AttentionMapOptions(distance="scores"))
    batch = states_of(*scores.softmax(-1), torch.ones(1, 5).bool())
    own, given = scores - scores.mean(-1, keepdim=True)
    assert term(batch).item() == pytest.approx((own - given).square().mean().item(), rel=1e-4)


def test_maps_that_are_exactly_zero_give_finite_losses_and_gradients():
    own = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]], requires_grad=True)
    given = torch.tensor([[[[0.0, 1.0], [0.5, 0.5]]]])
    for distance in ("mse", "scores", "kl"):
        term = built(AttentionMapTerm, AttentionMapOptions(distance=distance))
        loss = term(states_of(own, given, torch.ones(1, 2).bool()))
        (gradient,) = torch.autograd.grad(loss, own)
        assert loss.isfinite() and loss > 0 and gradient.isfinite().all()


def test_a_long_unit_counts_as_much_as_a_short_one():
    own = torch.zeros(2, 3, 4)
    given = torch.tensor([1.0, 2.0]).view(2, 1, 1).expand(2, 3, 4)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    assert built(TokenHiddenTerm, None)(states_of(own, given, mask)).item() == (1.0 + 4.0) / 2


@pytest.mark.parametrize(("kind", "what"), [
    (AttentionMapTerm, "expected attention maps of student and teacher in the batch, got none"),
    (TokenHiddenTerm, "expected token states of student and teacher in the batch, got none"),
    (TokenEmbeddingsTerm, "expected embeddings of student and teacher, got none"),
    (PooledCosineTerm, "expected the teacher's states in the batch, got none")])
def test_without_a_teacher_they_say_so(kind, what):
    batch = random_batch(SPACE, TWO, 2, 0)
    with pytest.raises(InputError) as refused:
        built(kind, layers=TWO)(only(batch, frozenset(), SPACE))
    assert str(refused.value) == f"term '{kind.name}': {what}. Give the run a teacher, or leave this term out."
