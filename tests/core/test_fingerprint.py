"""What a kept result depends on changes its fingerprint, and nothing else does."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from ukd_core.run.fingerprint import fingerprint, hash_texts, hash_weights


@given(st.lists(st.text(), max_size=5), st.lists(st.text(), max_size=5))
def test_texts_collide_only_when_equal(first: list[str], second: list[str]):
    assert (hash_texts(first) == hash_texts(second)) == (first == second)


def test_every_part_of_a_weight_counts():
    weights = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.zeros(2, dtype=torch.bool)}
    base = hash_weights(weights)
    changed = weights["a"].clone()
    changed[1, 2] += 1e-6
    assert hash_weights({**weights, "a": changed}) != base
    assert hash_weights({**weights, "a": weights["a"].reshape(3, 2)}) != base
    assert hash_weights({**weights, "a": weights["a"].int()}) != base
    assert hash_weights({"c": weights["a"], "b": weights["b"]}) != base
    assert hash_weights(dict(reversed(weights.items()))) == base
    assert hash_weights({**weights, "a": weights["a"].t().contiguous().t()}) == base


def test_order_of_keys_does_not_count():
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1}) != fingerprint({"a": 1, "b": [3]})
