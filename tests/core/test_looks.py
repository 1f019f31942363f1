"""What terms show of their layers becomes a few numbers in a log that a resumed run cuts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ukd_plugins.output_spaces.classes import ClassesSpace
from ukd_plugins.output_spaces.multilabel import MultilabelSpace
from ukd_plugins.output_spaces.regression import RegressionSpace
from ukd_plugins.terms.layer_kd import LayerKDOptions, LayerKDTerm
from ukd_plugins.terms.logit_kd import LogitKDOptions, LogitKDTerm

from ukd_core import TermView
from ukd_core.run.lines import append_line, cut, read_lines
from ukd_core.run.looks import summary
from ukd_core.testing.parts import installed
from ukd_core.testing.term_inputs import Layers, random_batch

SPACE = ClassesSpace(("a", "b", "c"))
LAYERS = Layers((4, 5, 6), (3, 3, 3, 3))


def softmax(scores: np.ndarray) -> np.ndarray:
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("projector", [None, "attention"])
def test_layer_kd_shows_its_heads_scores_and_the_attention_over_centred_scores(projector):
    term = LayerKDTerm(LayerKDOptions(projector=projector), LAYERS.setup(SPACE, installed())).double()
    batch = random_batch(SPACE, LAYERS, 5, 0)
    with torch.no_grad():
        view = term.look(batch)
        student = np.stack([states.numpy() @ head.linear.weight.numpy().T + head.linear.bias.numpy()
                            for head, states in zip(term.heads, batch.student.pooled, strict=False)])
    teacher = batch.teacher_scores[:3].numpy()
    np.testing.assert_allclose(view.scores.numpy(), student, atol=1e-12)
    own, given = (side - side.mean(axis=-1, keepdims=True) for side in (student, teacher))
    if projector is None:
        own, given = (side / np.linalg.norm(side, axis=-1, keepdims=True) for side in (own, given))
    np.testing.assert_allclose(view.weights.numpy(), softmax(np.einsum("suc,tuc->stu", own, given)), atol=1e-6)


def test_a_term_without_a_projector_shows_nothing():
    batch = random_batch(SPACE, LAYERS, 5, 0)
    assert LogitKDTerm(None, LAYERS.setup(SPACE, installed())).double().look(batch) is None
    term = LogitKDTerm(LogitKDOptions(projector="fixed:strategy=uniform"), LAYERS.setup(SPACE, installed())).double()
    view = term.look(batch)
    assert torch.equal(view.scores[0], batch.student.logits)
    assert view.weights.shape == (1, 5, 5) and bool((view.weights == 0.2).all())


def test_a_look_reads_the_progress_of_the_phase():
    term = LayerKDTerm(LayerKDOptions(annealing=4, projector="attention"), LAYERS.setup(SPACE, installed())).double()
    batch = random_batch(SPACE, LAYERS, 5, 0)
    with torch.no_grad():
        full = term.look(batch).weights
        term.on_progress(0.0)
        assert not torch.allclose(term.look(batch).weights, full)


def view_of(units: int, size: int) -> TermView:
    generator = torch.Generator().manual_seed(3)
    return TermView(torch.randn(2, units, size, generator=generator),
                    torch.rand(2, 4, units, generator=generator).softmax(1))


def test_a_view_in_numbers_is_what_numpy_says():
    view, labels = view_of(6, 3), torch.tensor([0, 2, -100, 0, 2, 2])
    found = summary(view, labels, SPACE)
    weights, known = view.weights.double().numpy(), labels.numpy() >= 0
    np.testing.assert_allclose(found["weights"], weights.mean(axis=2), atol=1e-6)
    assert list(found["by_class"]) == ["a", "c"]
    np.testing.assert_allclose(found["by_class"]["c"], weights[:, :, labels.numpy() == 2].mean(axis=2), atol=1e-6)
    right = (view.scores.numpy().argmax(axis=2) == labels.numpy())[:, known].mean(axis=1)
    np.testing.assert_allclose(found["student"], right)
    assert (found["rows"], found["metric"]) == (6, "accuracy")


def test_a_row_of_several_labels_counts_for_each_of_them():
    labels = torch.tensor([[1.0, 1.0], [0.0, 1.0], [torch.nan, torch.nan]])
    view = view_of(3, 2)
    found = summary(view, labels, MultilabelSpace(("a", "b")))["by_class"]
    np.testing.assert_allclose(found["a"], view.weights[..., 0].numpy(), atol=1e-6)
    np.testing.assert_allclose(found["b"], view.weights[..., :2].mean(-1).numpy(), atol=1e-6)


def test_numbers_have_no_classes_and_unlabelled_rows_no_score():
    view = view_of(3, 1)
    assert summary(view, torch.tensor([0.5, 1.0, 2.0]), RegressionSpace(("score",)))["by_class"] == {}
    found = summary(view, torch.full((3,), torch.nan), RegressionSpace(("score",)))
    assert found["student"] is None and found["weights"] is not None


@pytest.mark.parametrize("rest", ["", '{"step": 3, "lo'])
def test_a_log_is_cut_where_a_run_goes_on(tmp_path: Path, rest: str):
    path = tmp_path / "log.jsonl"
    assert list(read_lines(path)) == []
    cut(path, lambda line: False)
    assert not path.exists()
    for step in range(3):
        append_line(path, {"step": step, "name": "Ü"})
    with path.open("a") as file:
        file.write(rest)
    cut(path, lambda line: line["step"] < 2)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [0, 1]
