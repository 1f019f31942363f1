"""Intervals of differences: right in the mean, of the right width, and covering as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from ukd_core.run.compare.bootstrap import Interval, paired_difference


def accuracy(predictions, labels):
    return float((predictions == labels).mean())


def answers(generator, seeds, rows, right):
    """Predictions of which each is right with a probability of its own."""
    labels = generator.integers(0, 3, rows)
    wrong = generator.random((seeds, rows)) >= right
    return np.where(wrong, (labels + 1) % 3, labels), labels


def test_the_mean_is_that_of_the_seeds():
    generator = np.random.default_rng(0)
    one, labels = answers(generator, 4, 50, 0.8)
    other = np.where(generator.random((4, 50)) < 0.3, (labels + 1) % 3, labels)
    expected = np.mean([accuracy(one[seed], labels) - accuracy(other[seed], labels) for seed in range(4)])
    assert paired_difference(one, other, labels, accuracy, draws=50).mean == pytest.approx(expected)


def test_both_ways_of_drawing_agree():
    generator = np.random.default_rng(1)
    one, labels = answers(generator, 5, 200, 0.8)
    other = np.where(generator.random((5, 200)) < 0.3, (labels + 1) % 3, labels)
    slow = paired_difference(one, other, labels, accuracy, draws=3000)
    fast = paired_difference(one, other, labels, accuracy, draws=3000, mean_over_rows=True)
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), abs=0.004)


def test_one_seed_has_the_width_of_the_normal_approximation():
    generator = np.random.default_rng(2)
    rows = 2000
    one, labels = answers(generator, 1, rows, 0.8)
    other = np.where(generator.random((1, rows)) < 0.3, (labels + 1) % 3, labels)
    found = paired_difference(one, other, labels, accuracy, mean_over_rows=True)
    differences = (one[0] == labels).astype(float) - (other[0] == labels)
    half = 1.96 * differences.std(ddof=1) / np.sqrt(rows)
    assert (found.low, found.high) == pytest.approx((differences.mean() - half, differences.mean() + half), abs=0.004)


def test_equal_answers_have_no_difference():
    labels = np.arange(10)
    one = np.stack([labels, labels + (labels > 6)])
    assert paired_difference(one, one.copy(), labels, accuracy) == Interval(0.0, 0.0, 0.0)


def test_the_same_input_gives_the_same_interval():
    one, labels = answers(np.random.default_rng(3), 3, 40, 0.7)
    other = one[::-1]
    assert paired_difference(one, other, labels, accuracy) == paired_difference(one, other, labels, accuracy)


def test_it_covers_the_truth_about_as_often_as_it_says():
    # Both sides are right on 80 % of the rows in truth; with few seeds the bootstrap covers somewhat less than 95 %.
    covered = 0
    for trial in range(200):
        generator = np.random.default_rng(trial)
        hard = generator.random(300) < 0.4  # rows that both sides get right half of the time
        right = np.where(hard, 0.5, 1.0)
        labels = np.zeros(300, dtype=int)
        one, other = ((generator.random((5, 300)) >= right).astype(int) for _ in range(2))
        found = paired_difference(one, other, labels, accuracy, mean_over_rows=True, draws=300)
        covered += found.low <= 0.0 <= found.high
    assert 0.85 <= covered / 200 <= 1.0


@pytest.mark.parametrize(("low", "high", "verdict"), [
    (0.01, 0.02, "helped"), (-0.01, 0.02, "within noise"), (0.0, 0.02, "within noise"), (-0.02, -0.01, "did not help"),
    (0.0, 0.0, "did not help")])
def test_verdicts(low, high, verdict):
    assert Interval((low + high) / 2, low, high).verdict == verdict
