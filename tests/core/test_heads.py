"""Fitting a pseudo head against an independent optimum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from ukd_core.errors import InputError
from ukd_core.run.heads import fit_head


@pytest.fixture
def linear(registry):
    return registry.pseudo_heads.lookup("linear")


@pytest.mark.parametrize("l2", [0.1, 1.0, 10.0])
def test_classes_agree_with_scikit_learn(registry, linear, l2):
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 3, 120)
    states = generator.normal(size=(120, 7)) * [1, 5, 0.1, 2, 1, 3, 1] + 4 + labels[:, None] * 0.7
    space = registry.output_spaces.lookup("classes")(["a", "b", "c"])
    head = fit_head(linear(7, 3), torch.tensor(states).float(),
                    lambda scores: space.label_loss(scores, torch.tensor(labels)), l2)
    standard = (states - states.mean(0)) / states.std(0)
    oracle = LogisticRegression(C=1 / l2, tol=1e-10, max_iter=10_000).fit(standard, labels)
    answers = head(torch.tensor(states).float()).softmax(-1).numpy()
    np.testing.assert_allclose(answers, oracle.predict_proba(standard), atol=2e-4)
    assert not any(parameter.requires_grad for parameter in head.parameters())
    assert head(torch.zeros(1, 7)).dtype == torch.float32


def test_states_that_are_nearly_the_same_are_no_obstacle(registry, linear):
    # As in an encoder: few directions carry nearly all of the variance, and the classes differ in the others.
    generator = np.random.default_rng(7)
    labels = generator.integers(0, 2, 600)
    basis = np.linalg.qr(generator.normal(size=(40, 40)))[0]
    hidden = generator.normal(size=(600, 40)) * np.logspace(0, -3, 40)
    hidden[:, 30:] += (labels[:, None] - 0.5) * 1.5 * np.logspace(0, -3, 40)[30:]
    states = hidden @ basis
    space = registry.output_spaces.lookup("classes")(["a", "b"])
    head = fit_head(linear(40, 2), torch.tensor(states),
                    lambda scores: space.label_loss(scores, torch.tensor(labels)), l2=0.01)
    standard = (states - states.mean(0)) / states.std(0)
    oracle = LogisticRegression(C=200, tol=1e-12, max_iter=1000, solver="newton-cholesky").fit(standard, labels)
    # Two rows of weights, w and -w of half the size, have half the penalty of the one row of the oracle.
    scores = head.double()(torch.tensor(states))
    np.testing.assert_allclose((scores[:, 1] - scores[:, 0]).numpy(), oracle.decision_function(standard), atol=1e-2)


def test_regression_agrees_with_ridge(registry, linear):
    generator = np.random.default_rng(5)
    states = generator.normal(size=(80, 4)) * 3 + 2
    labels = states @ [0.5, -1, 2, 0] + 7 + generator.normal(size=80)
    space = registry.output_spaces.lookup("regression")(["score"])
    head = fit_head(linear(4, 1), torch.tensor(states).float(),
                    lambda scores: space.label_loss(scores, torch.tensor(labels).float()), l2=2.0)
    standard = (states - states.mean(0)) / states.std(0)
    oracle = Ridge(alpha=1.0).fit(standard, labels)  # the sum of squares against l2/2 is ridge with alpha l2/2
    np.testing.assert_allclose(head(torch.tensor(states).float())[:, 0].numpy(), oracle.predict(standard), atol=1e-3)


def test_without_labels_it_reproduces_the_teachers_answer(registry, linear):
    torch.manual_seed(0)
    states = torch.randn(200, 5)
    own = (states @ torch.randn(5, 3)).double()
    space = registry.output_spaces.lookup("classes")(["a", "b", "c"])
    head = fit_head(linear(5, 3), states, lambda scores: space.divergence(own, scores), l2=0.0)
    assert torch.allclose(head(states).softmax(-1), own.float().softmax(-1), atol=1e-3)


def test_a_constant_feature_is_harmless(registry, linear):
    states = torch.cat([torch.randn(50, 2), torch.ones(50, 1)], dim=1)
    space = registry.output_spaces.lookup("classes")(["a", "b"])
    head = fit_head(linear(3, 2), states, lambda scores: space.label_loss(scores, (states[:, 0] > 0).long()), l2=1.0)
    assert torch.isfinite(head(states)).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_states_that_are_not_finite(linear, value: float):
    states = torch.ones(5, 3)
    states[2, 1] = value
    with pytest.raises(InputError) as caught:
        fit_head(linear(3, 2), states, lambda scores: scores.sum(dim=-1), 1.0)
    assert str(caught.value) == ("teacher: expected finite hidden states, got nan or inf. Its weights are damaged, or "
                                 "they overflow in half precision.")
