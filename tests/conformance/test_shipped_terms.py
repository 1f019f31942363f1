"""Every term that ships keeps the laws of its interface, and agrees with the float64 oracles."""

from __future__ import annotations

import numpy as np
import torch
from ukd_plugins.terms.hard_label import HardLabelTerm
from ukd_plugins.terms.layer_kd import LayerKDOptions, LayerKDTerm
from ukd_plugins.terms.logit_kd import LogitKDOptions, LogitKDTerm

from ukd_core.testing import TermCase, oracles, parametrize_with_checks

DIVERGENCES = {"classes": oracles.kl_divergence, "multilabel": oracles.bernoulli_divergence,
               "regression": oracles.squared_error}
LABEL_LOSSES = {
    "classes": oracles.cross_entropy, "multilabel": oracles.binary_cross_entropy,
    "regression": lambda scores, label: oracles.squared_error(scores, np.atleast_1d(label)),
}


def hard_label(term, batch):
    rows = [LABEL_LOSSES[term.space.name](batch.student.logits[unit].numpy(), batch.labels[unit].numpy())
            for unit in batch.labelled.nonzero().flatten().tolist()]
    return float(np.mean(rows)) if rows else 0.0


def logit_kd(term, batch):
    pairs = zip(batch.teacher_scores[-1].numpy(), batch.student.logits.numpy(), strict=True)
    return float(np.mean([DIVERGENCES[term.space.name](*pair, term.temperature) for pair in pairs]))


def layer_kd(term, batch):
    """One student layer, one unit, one teacher layer at a time."""
    divergence = DIVERGENCES[term.space.name]
    student = np.stack([oracles.linear(states.numpy(), head.linear.weight.detach().numpy(),
                                       head.linear.bias.detach().numpy())
                        for head, states in zip(term.heads, batch.student.pooled, strict=False)])
    teacher = batch.teacher_scores.numpy()[: term.teacher_layers]
    weights = oracles.attention(student, teacher, centre=term.space.shift_invariant and term.space.size > 1)
    targets, total = oracles.mix(weights, teacher), 0.0
    for j, layer in enumerate(student):
        for unit, row in enumerate(layer):
            if term.options.matching == "logits":
                loss = divergence(targets[j, unit], row, term.temperature)
            else:
                loss = sum(weights[j, i, unit] * divergence(teacher[i, unit], row, term.temperature)
                           for i in range(len(teacher)))
            total += loss / len(layer)
    return total


CASES = [
    TermCase("hard-label", HardLabelTerm, reference=hard_label),
    TermCase("logit-kd", LogitKDTerm, reference=logit_kd),
    TermCase("logit-kd-mixed", LogitKDTerm, LogitKDOptions(projector="teacher-assistant", temperature=2.0)),
    TermCase("layer-kd", LayerKDTerm, reference=layer_kd),
    TermCase("layer-kd-losses", LayerKDTerm, LayerKDOptions(matching="losses", include_final=True),
             reference=layer_kd),
]


@parametrize_with_checks(*CASES)
def test_shipped_terms_keep_the_laws(case, check):
    check(case)


def test_everything_that_ships_is_among_them(registry):
    catalogue = registry.terms
    shipped = {kind for name, kind in catalogue.items() if catalogue.origin(name).distribution == "ukd"}
    assert shipped == {case.kind for case in CASES}



def test_the_oracles_are_those_of_another_library():
    scores, labels = torch.randn(3).double(), torch.tensor([0.0, 1.0, 1.0]).double()
    functional = torch.nn.functional
    np.testing.assert_allclose(oracles.cross_entropy(scores.numpy(), 2),
                               functional.cross_entropy(scores, torch.tensor(2)).item())
    np.testing.assert_allclose(
        oracles.binary_cross_entropy(scores.numpy(), labels.numpy()),
        functional.binary_cross_entropy_with_logits(scores, labels, reduction="sum").item())
    other = torch.randn(3).double()
    bernoulli = [torch.distributions.Bernoulli(logits=side / 2.0) for side in (other, scores)]
    np.testing.assert_allclose(oracles.bernoulli_divergence(other.numpy(), scores.numpy(), 2.0),
                               4.0 * torch.distributions.kl_divergence(*bernoulli).sum().item())
