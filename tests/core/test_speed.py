"""Timing: which texts a model is given, how often, and what is made of the times."""

from __future__ import annotations

import time

import pytest

from ukd_core.run.speed import BATCH, LEAST_CALLS, measure_speed


def test_texts_are_taken_in_turn_with_their_pairs():
    calls = []

    def answer(texts, pairs):
        calls.append((texts, pairs))

    speed = measure_speed(answer, ["a", "b", "c"], ["x", "y", "z"], seconds=0.0)
    single = [call for call in calls if len(call[0]) == 1]
    assert len(single) == LEAST_CALLS + 1  # one before the clock starts
    assert single[1:5] == [(["a"], ["x"]), (["b"], ["y"]), (["c"], ["z"]), (["a"], ["x"])]
    assert {len(texts) for texts, _ in calls} == {1, BATCH}
    assert 0.0 < speed.p50_ms <= speed.p95_ms
    assert (speed.threads, speed.device) == (1, "cpu")


def test_times_are_in_milliseconds_and_texts_a_second():
    speed = measure_speed(lambda texts, pairs: time.sleep(0.002 + 0.001 * (len(texts) > 1)), ["a"], seconds=0.05)
    assert 2.0 <= speed.p50_ms < 20.0
    assert BATCH / 0.03 < speed.per_second <= BATCH / 0.003


def test_a_slow_batch_is_not_asked_for_again():
    sizes = []

    def slow(texts, pairs):
        sizes.append(len(texts))
        time.sleep(0.01 if len(texts) > 1 else 0.0)

    speed = measure_speed(slow, ["a", "b"], seconds=0.005)
    assert sizes.count(BATCH) == 1
    assert speed.per_second <= BATCH / 0.01


def test_a_request_of_several_texts():
    sizes = []
    measure_speed(lambda texts, pairs: sizes.append(len(texts)), ["a", "b"], seconds=0.0, at_once=4)
    assert set(sizes) == {4, BATCH}


def test_pairs_are_none_where_there_are_none():
    measure_speed(lambda texts, pairs: pytest.fail("got pairs") if pairs is not None else None, ["a"], seconds=0.0)
