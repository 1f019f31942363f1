"""What a plug-in may do without breaking a law, though none that ships does it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from mutants import passes
from test_mutants_layer_source import SMALL
from test_mutants_term import Labels
from torch import nn
from torch.nn.functional import one_hot
from ukd_plugins.output_spaces.classes import ClassesSpace
from ukd_plugins.pseudo_heads.linear import LinearHead

from ukd_adapters import BertLayerSource, CNNLayerSource
from ukd_core.testing import LayerSourceCase, OutputSpaceCase, PseudoHeadCase, TermCase
from ukd_core.testing.checks import name_of


def keeps(case, law):
    passes(case, {name_of(check): check for check in case.checks}[law])


class Plain(nn.Module):
    """A model that knows of no hidden states."""

    def __init__(self, whole):
        super().__init__()
        self.whole = whole
        self.config = whole.config

    def forward(self, input_ids, attention_mask):
        return SimpleNamespace(logits=self.whole(input_ids=input_ids, attention_mask=attention_mask).logits)


class ShowsNothing(CNNLayerSource):
    """Its model gives logits alone, and its embeddings stay as they are."""

    @classmethod
    def build(cls, options, context):
        source = super().build(options, context)
        source.model.get_input_embeddings().requires_grad_(False)
        source.model = Plain(source.model)
        return source

    def forward(self, batch, needs=frozenset()):
        plain, self.model = self.model, self.model.whole
        try:
            return super().forward(batch, needs)
        finally:
            self.model = plain


class GivesNoMaskWithMaps(BertLayerSource):
    def forward(self, batch, needs=frozenset()):
        return replace(super().forward(batch, needs), mask=None)


class Deaf(LinearHead):
    """Scores that carry no gradient: another law's matter."""

    def forward(self, states):
        return super().forward(states).detach()


class NothingToLearn(Labels):
    """A plain zero where no unit has a label."""

    def forward(self, batch):
        return super().forward(batch) if batch.labelled.any() else torch.zeros(())


@pytest.mark.parametrize("law", ["check_parity", "check_logits", "check_gradients"])
def test_a_model_may_show_no_hidden_states_and_have_frozen_weights(law):
    keeps(LayerSourceCase("plain", ShowsNothing, SMALL[CNNLayerSource]), law)


def test_maps_may_come_without_a_mask():
    keeps(LayerSourceCase("unmasked", GivesNoMaskWithMaps, SMALL[BertLayerSource]), "check_attentions")


def test_extreme_states_say_nothing_of_a_missing_gradient():
    keeps(PseudoHeadCase("deaf", Deaf), "check_extreme_states")
    with pytest.raises(AssertionError, match="scores carry no gradient"):
        keeps(PseudoHeadCase("deaf", Deaf), "check_gradients")


def test_a_loss_without_labels_may_be_a_plain_zero():
    keeps(TermCase("zero", NothingToLearn), "check_unlabelled_units")


def test_a_case_may_say_which_scores_are_sure():
    def case(height):
        return OutputSpaceCase("space", ClassesSpace, sure=lambda labels: height * one_hot(labels, 3))

    keeps(case(40.0), "check_label_loss")
    with pytest.raises(AssertionError, match="another answer has a smaller label loss"):
        keeps(case(-40.0), "check_label_loss")
    assert case(40.0).sure_scores(case(40.0).space(), torch.tensor([2])).tolist() == [[0.0, 0.0, 40.0]]
