"""Every term that ships keeps the laws of its interface, and agrees with the float64 oracles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from test_live_terms import CASES as LIVE_CASES
from ukd_plugins.terms.annealed_scores import AnnealedScoresOptions, AnnealedScoresTerm
from ukd_plugins.terms.combined_hidden import CombinedHiddenOptions, CombinedHiddenTerm
from ukd_plugins.terms.hard_label import HardLabelTerm
from ukd_plugins.terms.hidden import HiddenOptions, HiddenTerm
from ukd_plugins.terms.layer_kd import LayerKDOptions, LayerKDTerm
from ukd_plugins.terms.logit_kd import LogitKDOptions, LogitKDTerm
from ukd_plugins.terms.supervised_layer_kd import SupervisedLayerKDOptions, SupervisedLayerKDTerm

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
    weights = oracles.attention(student, teacher, cosine=term.projector.options.score == "cosine",
                                centre=term.space.shift_invariant and term.space.size > 1)
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


def supervised_layer_kd(term, batch):
    """What `layer-kd` gives, and each labelled unit of each layer."""
    total = layer_kd(term, batch)
    labelled = batch.labelled.nonzero().flatten().tolist()
    for head, states in zip(term.heads, batch.student.pooled, strict=False):
        scores = oracles.linear(states.numpy(), head.linear.weight.detach().numpy(), head.linear.bias.detach().numpy())
        rows = [LABEL_LOSSES[term.space.name](scores[unit], batch.labels[unit].numpy()) for unit in labelled]
        total += term.options.label_weight * float(np.mean(rows)) if rows else 0.0
    return total


def all_teachers(term, batch):
    """The mean of the divergences from every teacher layer and the classifier."""
    teachers = [logit_kd(term, replace(batch, teacher_scores=layer[None])) for layer in batch.teacher_scores]
    return float(np.mean(teachers))


def annealed(scale, margin):
    def reference(term, batch):
        pairs = zip(batch.teacher_scores[-1].numpy(), batch.student.logits.numpy(), strict=True)
        return float(np.mean([max(0.0, sum((own - scale * other) ** 2 for own, other in zip(student, teacher,
                                                                                            strict=True))
                                  - margin * scale) for teacher, student in pairs]))

    return reference


def mapped(layer, states):
    if not isinstance(layer, torch.nn.Linear):
        return states.numpy()
    bias = np.zeros(layer.out_features) if layer.bias is None else layer.bias.detach().numpy()
    return oracles.linear(states.numpy(), layer.weight.detach().numpy(), bias)


def direction(term, state):
    return state / max(np.sqrt((state ** 2).sum()), 1e-4) if term.options.normalise else state


def distance(term, one, other):
    differences = (direction(term, one) - direction(term, other)) ** 2
    return differences.mean() if term.options.distance == "mean" else differences.sum()


def hidden(pairs):
    """One student layer and one unit at a time; `pairs` gives the shares of the teacher's layers."""

    def reference(term, batch):
        students, teachers = term.layers
        own = [mapped(*each) for each in zip(term.student_maps, batch.student.pooled[:students], strict=True)]
        given = [mapped(*each) for each in zip(term.teacher_maps, batch.teacher_states[:teachers], strict=True)]
        shares = pairs(np.stack(own), np.stack(given))
        total = 0.0
        for j, layer in enumerate(own):
            for unit, state in enumerate(layer):
                target = sum(shares[j, i, unit] * given[i][unit] for i in range(teachers))
                total += distance(term, state, target) / len(layer)
        return total

    return reference


def skipped(student, teacher):
    """The layers of PKD's map, from its formula."""
    shares = np.zeros((len(student), len(teacher), student.shape[1]))
    for j in range(len(student)):
        shares[j, max(int((j + 1) * (len(teacher) + 1) / (len(student) + 1)) - 1, 0)] = 1.0
    return shares


def combined(buckets):
    """One student layer, unit and feature at a time; `buckets` gives the teacher layers of a student layer."""

    def reference(term, batch):
        students, teachers = len(batch.student.pooled), [states.numpy() for states in batch.teacher_states]
        total = 0.0
        for j, (own, layer) in enumerate(zip(batch.student.pooled, term.maps, strict=True)):
            joined = np.concatenate([teachers[i] for i in buckets(j, students, len(teachers))], axis=-1)
            target = oracles.linear(joined, layer.weight.detach().numpy(), layer.bias.detach().numpy())
            total += float(((own.numpy().astype(np.float64) - target) ** 2).mean())
        return total

    return reference


def shared_out(layer, students, teachers):
    """Those of the teacher's layers whose bucket it is, asked of each of them; the nearest where there is none."""
    own = [i for i in range(teachers) if layer * teachers // students <= i < (layer + 1) * teachers // students]
    return own or [layer * teachers // students]


CASES = [
    TermCase("hard-label", HardLabelTerm, reference=hard_label),
    TermCase("logit-kd", LogitKDTerm, reference=logit_kd),
    TermCase("logit-kd-mixed", LogitKDTerm, LogitKDOptions(projector="teacher-assistant", temperature=2.0)),
    TermCase("layer-kd", LayerKDTerm, reference=layer_kd),
    TermCase("layer-kd-dot", LayerKDTerm, LayerKDOptions(projector="attention"), reference=layer_kd),
    TermCase("layer-kd-losses", LayerKDTerm, LayerKDOptions(matching="losses", include_final=True),
             reference=layer_kd),
    TermCase("supervised-layer-kd", SupervisedLayerKDTerm, SupervisedLayerKDOptions(label_weight=0.5),
             reference=supervised_layer_kd),
    TermCase("logit-kd-all-teachers", LogitKDTerm,
             LogitKDOptions(projector="fixed:strategy=uniform", matching="losses"), reference=all_teachers),
    TermCase("annealed-scores", AnnealedScoresTerm, AnnealedScoresOptions(margin=0.5),
             reference=annealed(1.0, 0.5)),
    TermCase("hidden-attention", HiddenTerm, HiddenOptions(include_final=True),
             reference=hidden(lambda student, teacher: oracles.attention(student, teacher, centre=False))),
    TermCase("hidden-skip", HiddenTerm, HiddenOptions(projector="fixed:strategy=skip", normalise=True),
             reference=hidden(skipped)),
    TermCase("hidden-mapped", HiddenTerm,
             HiddenOptions(projector="fixed:strategy=skip", width=3, normalise=True, distance="sum"),
             reference=hidden(skipped)),
    TermCase("hidden-shared", HiddenTerm,
             HiddenOptions(projector="fixed:strategy=skip", width=3, shared=True, teacher_map="learned"),
             reference=hidden(skipped)),
    TermCase("combined-hidden", CombinedHiddenTerm, CombinedHiddenOptions(), reference=combined(shared_out)),
    TermCase("combined-hidden-pair", CombinedHiddenTerm, CombinedHiddenOptions(projector="fixed:strategy=final"),
             reference=combined(lambda layer, students, teachers: [teachers - 1])),
    TermCase("layer-kd-classifier", LayerKDTerm, LayerKDOptions(include_classifier=True), reference=layer_kd),
    TermCase("layer-kd-by-labels", LayerKDTerm, LayerKDOptions(projector="label-confidence")),
    TermCase("layer-kd-annealing", LayerKDTerm, LayerKDOptions(annealing=4), reference=layer_kd),
]


@parametrize_with_checks(*CASES)
def test_shipped_terms_keep_the_laws(case, check):
    check(case)


def test_everything_that_ships_is_among_them(registry):
    catalogue = registry.terms
    shipped = {kind for name, kind in catalogue.items() if catalogue.origin(name).distribution == "ukd"}
    assert shipped == {case.kind for case in (*CASES, *LIVE_CASES)}



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
