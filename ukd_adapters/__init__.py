"""Encoders that UKD reads and builds. Importing this package lets transformers load its word models by folder."""

from __future__ import annotations

from ukd_adapters.bag import BagForSequenceClassification, BagLayerSource
from ukd_adapters.bert import BertLayerSource
from ukd_adapters.bilstm import BiLSTMForSequenceClassification, BiLSTMLayerSource
from ukd_adapters.cnn import CNNForSequenceClassification, CNNLayerSource
from ukd_adapters.distilbert import DistilBertLayerSource
from ukd_adapters.mpnet import MPNetLayerSource
from ukd_adapters.roberta import RobertaLayerSource

__all__ = [
    "BagForSequenceClassification", "BagLayerSource", "BertLayerSource", "BiLSTMForSequenceClassification",
    "BiLSTMLayerSource", "CNNForSequenceClassification", "CNNLayerSource", "DistilBertLayerSource",
    "MPNetLayerSource", "RobertaLayerSource",
]
