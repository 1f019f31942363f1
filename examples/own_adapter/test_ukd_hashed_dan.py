"""The encoder keeps every law of the interface; its n-grams are those of a slow, obvious version."""

from __future__ import annotations

import torch
from ukd_hashed_dan import BASE, PRIME, HashedDanLayerSource, ngrams

from ukd_core.testing import LayerSourceCase, parametrize_with_checks

SMALL = {"buckets": 500, "embedding_width": 8, "layer_widths": [12, 6]}


@parametrize_with_checks(
    LayerSourceCase("hashed-dan", HashedDanLayerSource, options=SMALL),
    LayerSourceCase("hashed-dan-unigrams", HashedDanLayerSource, options={**SMALL, "longest": 1, "layer_widths": [5]}),
)
def test_encoder_keeps_the_laws(case, check):
    """One test for each case and law."""
    check(case)


def slow_ngrams(ids: list[int], longest: int, buckets: int) -> list[int]:
    """Buckets of all n-grams of a text."""
    found = []
    for size in range(1, longest + 1):
        for start in range(len(ids) - size + 1):
            key = 0
            for position in range(size):
                key = (key * BASE + ids[start + position] + position + 1) % PRIME
            found.append(key % buckets)
    return found


def test_ngrams_are_those_of_each_text():
    """Padding adds none, and all n-grams of a text have the same share."""
    texts = [[1, 7, 3, 3, 9], [1], [1, 4, 4]]
    ids = torch.tensor([text + [0] * (5 - len(text)) for text in texts])
    mask = torch.tensor([[1] * len(text) + [0] * (5 - len(text)) for text in texts]).bool()
    keys, shares = ngrams(ids, mask, longest=3, buckets=97)
    for unit, text in enumerate(texts):
        expected = slow_ngrams(text, 3, 97)
        assert sorted(keys[unit][shares[unit] > 0].tolist()) == sorted(expected)
        torch.testing.assert_close(shares[unit][shares[unit] > 0], torch.full((len(expected),), 1 / len(expected)))
