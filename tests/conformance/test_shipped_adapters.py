"""Every adapter that ships keeps the laws of its interface, on tiny models."""

from __future__ import annotations

from ukd_adapters import (
    BagLayerSource,
    BertLayerSource,
    BiLSTMLayerSource,
    CNNLayerSource,
    DistilBertLayerSource,
    MPNetLayerSource,
    RobertaLayerSource,
)
from ukd_core.testing import LayerSourceCase, parametrize_with_checks

ENCODER = {"layers": 2, "hidden": 8, "heads": 2, "intermediate": 12, "vocab_size": 320}
WORDS = {"layers": 2, "hidden": 6, "embedding_width": 5}


CASES = [
    LayerSourceCase("bert", BertLayerSource, ENCODER),
    LayerSourceCase("bert-mean", BertLayerSource, {**ENCODER, "layers": 1, "pooling": "mean"}),
    LayerSourceCase("roberta", RobertaLayerSource, ENCODER),
    LayerSourceCase("mpnet", MPNetLayerSource, ENCODER),
    LayerSourceCase("distilbert", DistilBertLayerSource, {**ENCODER, "pooling": "mean"}),
    LayerSourceCase("bag", BagLayerSource, WORDS),
    LayerSourceCase("bag-ngrams", BagLayerSource, {**WORDS, "ngrams": 2, "buckets": 20, "pooling": "max"}),
    LayerSourceCase("cnn", CNNLayerSource, WORDS),
    LayerSourceCase("bilstm", BiLSTMLayerSource, {**WORDS, "pooling": "max"}),
]


@parametrize_with_checks(*CASES)
def test_shipped_adapters_keep_the_laws(case, check):
    check(case)


def test_everything_that_ships_is_among_them(registry):
    catalogue = registry.layer_sources
    shipped = {kind for name, kind in catalogue.items() if catalogue.origin(name).distribution == "ukd"}
    assert shipped == {case.kind for case in CASES}
