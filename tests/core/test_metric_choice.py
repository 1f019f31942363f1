"""The metric that picks checkpoints and that methods are compared on: GLUE's conventions by name."""

from __future__ import annotations

import datasets
import pytest
from ukd_plugins.output_spaces.classes import ClassesSpace
from ukd_plugins.output_spaces.multilabel import MultilabelSpace
from ukd_plugins.output_spaces.regression import RegressionSpace

from ukd_core.errors import InputError
from ukd_core.run.data import RawData, encode_data

COLUMNS = {ClassesSpace: ["a", "b", "a"], RegressionSpace: [1.0, 2.5, 0.0], MultilabelSpace: [["a"], ["b"], []]}


def space_of(kind, metric):
    labels = COLUMNS[kind]
    table = datasets.Dataset.from_dict({"text": ["t"] * len(labels), "label": labels, "row": range(len(labels))})
    return encode_data(RawData({"train": table}, None, pairs=False), kind, metric=metric).space


@pytest.mark.parametrize(("kind", "metric", "used"), [
    (ClassesSpace, None, "accuracy"), (ClassesSpace, "matthews_correlation", "matthews_correlation"),  # CoLA
    (ClassesSpace, "f1", "f1"),  # MRPC, QQP
    (RegressionSpace, None, "pearson"), (RegressionSpace, "spearmanr", "spearmanr"),  # STS-B
    (MultilabelSpace, None, "f1_macro"),
])
def test_a_run_may_name_its_metric(kind, metric, used):
    assert space_of(kind, metric).metric == used


@pytest.mark.parametrize(("kind", "metric", "usable"), [
    (ClassesSpace, "mcc", "accuracy, f1, matthews_correlation"), (RegressionSpace, "mse", "pearson, spearmanr")])
def test_a_metric_that_the_space_does_not_have_or_of_which_less_is_better(kind, metric, usable):
    with pytest.raises(InputError) as refused:
        space_of(kind, metric)
    assert str(refused.value) == f"option 'metric': expected {usable}, got {metric!r}."
