"""Projectors whose weights follow from labelled rows, and where these rows come from."""

from __future__ import annotations

from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from ukd_plugins.output_spaces.classes import ClassesSpace
from ukd_plugins.output_spaces.multilabel import MultilabelSpace
from ukd_plugins.output_spaces.regression import RegressionSpace
from ukd_plugins.projectors.ensemble import EnsembleOptions, EnsembleProjector
from ukd_plugins.projectors.label_confidence import LabelConfidenceOptions, LabelConfidenceProjector

from ukd_core import HeldOut, ProjectorSetup
from ukd_core.errors import InputError
from ukd_core.run.data import TaskData
from ukd_core.run.held_out import MOST_ROWS, held_out_rows
from ukd_core.testing import oracles

SPACES = (ClassesSpace(["a", "b", "c"]), MultilabelSpace(["a", "b", "c"]), RegressionSpace(["score"]))
ROWS = 40


def oracle_loss(space, scores, labels):
    """Mean label loss of one layer in float64, row by row."""
    losses = {"classes": lambda row, label: oracles.cross_entropy(row, int(label)),
              "multilabel": oracles.binary_cross_entropy,
              "regression": lambda row, label: float((row[0] - label) ** 2)}[space.name]
    return sum(losses(row, label) for row, label in zip(scores, labels, strict=True)) / len(labels)


def rows_of(space, layers=4, seed=0):
    """Scores that are righter in deeper layers, each with faults of its own."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randn(ROWS, space.size, generator=generator)
    labels = {"classes": truth.argmax(-1), "multilabel": (truth > 0).float(), "regression": truth[:, 0]}[space.name]
    noise = torch.randn(layers, ROWS, space.size, generator=generator)
    scores = truth * torch.linspace(0.3, 1.0, layers)[:, None, None] + noise
    return HeldOut(scores, labels, lambda scores: space.label_loss(scores, labels))


def built(kind, rows, **options):
    setup = ProjectorSetup(2, len(rows.scores), rows.scores.shape[-1], held_out=lambda: rows)
    return kind(kind.Options(**options), setup)


def weights_of(projector, rows, units=3):
    teacher = rows.scores[:, :units].double()
    return projector(torch.zeros(2, units, teacher.shape[-1], dtype=torch.float64), teacher).weights


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
@pytest.mark.parametrize("temperature", [10.0, 0.3])
def test_confident_layers_weigh_by_their_mean_loss(space, temperature):
    rows = rows_of(space)
    losses = np.array([oracle_loss(space, layer, rows.labels.numpy()) for layer in rows.scores.double().numpy()])
    expected = oracles.softmax(-losses / temperature)
    weights = weights_of(built(LabelConfidenceProjector, rows, temperature=temperature), rows)
    np.testing.assert_allclose(weights.numpy(), np.broadcast_to(expected[None, :, None], (2, 4, 3)), rtol=1e-6)
    assert LabelConfidenceOptions().temperature == 10.0


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
@pytest.mark.parametrize("seed", range(3))
def test_the_ensemble_is_at_least_as_right_as_each_layer_and_as_all_alike(space, seed):
    rows = rows_of(space, seed=seed)
    shares = weights_of(built(EnsembleProjector, rows), rows)[0, :, 0].numpy()
    scores, labels = rows.scores.double().numpy(), rows.labels.numpy()
    found = oracle_loss(space, np.tensordot(shares, scores, axes=1), labels)
    assert found <= oracle_loss(space, scores.mean(axis=0), labels) + 1e-6
    assert all(found <= oracle_loss(space, layer, labels) + 1e-6 for layer in scores)
    assert (shares >= 0).all() and shares.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_the_ensemble_of_two_layers_is_the_best_of_a_fine_grid(space):
    rows = rows_of(space, layers=2)
    scores, labels = rows.scores.double().numpy(), rows.labels.numpy()
    grid = [oracle_loss(space, w * scores[0] + (1 - w) * scores[1], labels) for w in np.linspace(0, 1, 201)]
    share = float(weights_of(built(EnsembleProjector, rows), rows)[0, 0, 0])
    assert share == pytest.approx(np.argmin(grid) / 200, abs=0.01)


def test_where_every_layer_is_worse_than_none_the_best_of_them_is_taken():
    space = SPACES[0]
    labels = torch.zeros(ROWS, dtype=torch.int64)
    wrong = torch.tensor([[-1.0, 1.0, 1.0], [-4.0, 4.0, 4.0]])[:, None].expand(2, ROWS, 3)
    rows = HeldOut(wrong, labels, lambda scores: space.label_loss(scores, labels))
    assert weights_of(built(EnsembleProjector, rows), rows)[0, :, 0].tolist() == [1.0, 0.0]


def test_the_search_is_repeatable_and_does_not_go_by_the_order_of_layers():
    rows = rows_of(SPACES[0])
    order = torch.tensor([2, 0, 3, 1])
    moved = HeldOut(rows.scores[order], rows.labels, rows.label_loss)
    first, again, permuted = (built(EnsembleProjector, given).shares for given in (rows, rows, moved))
    assert torch.equal(first, again)
    assert torch.equal(first[order], permuted)
    other = built(EnsembleProjector, rows, seed=1).shares
    assert not torch.equal(first, other)
    torch.testing.assert_close(first, other, atol=0.02, rtol=0)


def test_one_layer_has_all_the_weight():
    rows = rows_of(SPACES[0], layers=1)
    for kind in (EnsembleProjector, LabelConfidenceProjector):
        assert built(kind, rows).shares.tolist() == [1.0]


def test_few_candidates_are_enough_to_begin_with():
    rows = rows_of(SPACES[0], layers=2)
    assert built(EnsembleProjector, rows, generations=1, population=1).shares.sum() == pytest.approx(1.0)
    assert EnsembleOptions().generations == 100


@pytest.mark.parametrize("kind", [EnsembleProjector, LabelConfidenceProjector])
@pytest.mark.parametrize("setup", [None, ProjectorSetup(1, 2, 8, shift_invariant=False)])
def test_without_labelled_rows_they_are_refused(kind, setup):
    with pytest.raises(InputError) as refused:
        kind(setup=setup)
    assert str(refused.value) == (
        f"projector '{kind.name}': expected scores of labelled rows to weigh the teacher's layers by, got none. "
        "Use it in the output space, with labels in the validation or training rows.")


# --- Where the rows come from -----------------------------------------------------------------------------------------

SPACE = SPACES[0]


class Answers:
    """Scores in memory; counts how often they are read."""

    def __init__(self, **scores):
        self.kept, self.reads = scores, []

    def scores(self, split):
        def rows(index):
            self.reads.append(split)
            return self.kept[split][index]

        return SimpleNamespace(shape=tuple(self.kept[split].shape), rows=rows)


def task(**labels):
    return TaskData({name: datasets.Dataset.from_dict({
        "text": ["x"] * len(values), "label": values, "row": list(range(len(values)))})
        for name, values in labels.items()}, SPACE, pairs=False)


def answers_to(data, layers=3):
    return Answers(**{name: torch.randn(len(split), layers + 1, 3) for name, split in data.splits.items()})


def test_labelled_validation_rows_come_first():
    data = task(train=[0, 1], validation=[-100, 2, 1], test=[0])
    answers = answers_to(data)
    rows = held_out_rows(data, answers.scores)(4)()
    assert rows.labels.tolist() == [2, 1]
    assert torch.equal(rows.scores, answers.kept["validation"][[1, 2]].transpose(0, 1))
    expected = [[oracles.cross_entropy(row, label) for row, label in zip(layer, (2, 1), strict=True)]
                for layer in rows.scores.double().numpy()]
    np.testing.assert_allclose(rows.label_loss(rows.scores.double()).numpy(), expected)


def test_then_labelled_training_rows_but_never_test_rows():
    data = task(train=[-100, 1], validation=[-100], test=[0])
    assert held_out_rows(data, answers_to(data).scores)(4)().labels.tolist() == [1]
    unlabelled = task(train=[-100, -100], test=[0])
    assert held_out_rows(unlabelled, answers_to(unlabelled).scores)(4) is None
    assert held_out_rows(data, None)(4) is None


@pytest.mark.parametrize("layers", [2, 3, 4])
def test_a_projector_over_fewer_layers_sees_the_first_of_them(layers):
    data = task(train=[0, 1, 2])
    answers = answers_to(data)
    rows = held_out_rows(data, answers.scores)(layers)()
    assert torch.equal(rows.scores, answers.kept["train"].transpose(0, 1)[:layers])


def test_more_layers_than_the_teacher_has_are_not_its_layers():
    data = task(train=[0, 1, 2])
    assert held_out_rows(data, answers_to(data).scores)(5) is None


def test_rows_are_read_when_asked_for_and_once():
    data = task(train=[0, 1, 2])
    answers = answers_to(data)
    read = held_out_rows(data, answers.scores)(4)
    assert answers.reads == []
    assert read() is read()
    assert answers.reads == ["train"]


def test_of_many_rows_a_sample_is_taken():
    data = task(validation=[0] * MOST_ROWS + [1] * MOST_ROWS, train=[0])
    answers = answers_to(data)
    first, again = (held_out_rows(data, answers.scores)(4)() for _ in range(2))
    assert len(first.labels) == MOST_ROWS and torch.equal(first.scores, again.scores)
    assert 0.4 < first.labels.float().mean() < 0.6
