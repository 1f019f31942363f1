"""The kit catches an adapter that breaks a law, one mutant or more for every check."""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from mutants import Mutant, every_mutant, laws_without, passes
from torch import nn

from ukd_adapters import BertLayerSource, CNNLayerSource
from ukd_core.testing import LAYER_SOURCE_CHECKS, LayerSourceCase, parametrize_with_checks

SMALL = {
    CNNLayerSource: {"layers": 2, "hidden": 6, "embedding_width": 5},
    BertLayerSource: {"layers": 1, "hidden": 8, "heads": 2, "intermediate": 12, "vocab_size": 320},
}


class OneWidthForAll(CNNLayerSource):
    @property
    def widths(self):
        return super().widths[:1]


class KnowsLabelsFromBirth(CNNLayerSource):
    @classmethod
    def build(cls, options, context):
        source = super().build(options, context)
        source.label_names = context.space.labels
        return source


class CountsEmbeddings(CNNLayerSource):
    def forward(self, batch, needs=frozenset()):
        states = super().forward(batch, needs)
        return replace(states, pooled=(states.pooled[0], *states.pooled))


class DividesByTheOtherTokens(CNNLayerSource):
    def forward(self, batch, needs=frozenset()):
        states, others = super().forward(batch, needs), batch["attention_mask"].sum(1, keepdim=True) - 1
        return replace(states, pooled=tuple(pooled / others for pooled in states.pooled))


class AveragesThePadding(CNNLayerSource):
    def forward(self, batch, needs=frozenset()):
        states = super().forward(batch, needs | {"tokens"})
        return replace(states, pooled=tuple(tokens.mean(dim=1) for tokens in states.tokens))


class NormalisesTheBatch(CNNLayerSource):
    def forward(self, batch, needs=frozenset()):
        states = super().forward(batch, needs)
        return replace(states, logits=states.logits - states.logits[:1])


class KeepsItsBatch(CNNLayerSource):
    def forward(self, batch, needs=frozenset()):
        self.kept = batch
        time.sleep(0.002)  # what a longer model does meanwhile
        return super().forward(self.kept, needs)


class SortsTexts(CNNLayerSource):
    def tokenize(self, texts, pairs=None, *, max_length):
        return super().tokenize(sorted(texts), pairs, max_length=max_length)


class PadsFloats(CNNLayerSource):
    def pad(self, features, multiple=8):
        return {key: tensor.float() for key, tensor in super().pad(features, multiple).items()}


class NeverCuts(CNNLayerSource):
    def tokenize(self, texts, pairs=None, *, max_length):
        return super().tokenize(texts, pairs, max_length=100_000)


class DropsTheSecondText(CNNLayerSource):
    def tokenize(self, texts, pairs=None, *, max_length):
        return super().tokenize(texts, max_length=max_length)


class HeatsItsLogits(CNNLayerSource):
    def forward(self, batch, needs=frozenset()):
        states = super().forward(batch, needs)
        return replace(states, logits=states.logits / 2)


class StartsAtTheEmbeddings(BertLayerSource):
    def forward(self, batch, needs=frozenset()):
        output = self.model(**batch, output_hidden_states=True)
        tokens = tuple(output.hidden_states[:-1])
        return replace(super().forward(batch, needs), tokens=tokens, pooled=tuple(layer[:, 0] for layer in tokens))


class AlwaysGivesTokens(CNNLayerSource):
    def forward(self, batch, needs=frozenset()):
        return super().forward(batch, needs | {"tokens"})


class NeverGivesTokens(CNNLayerSource):
    def forward(self, batch, needs=frozenset()):
        return super().forward(batch, needs - {"tokens"})


class PromisesAttentions(CNNLayerSource):
    attentions_available = True

    def forward(self, batch, needs=frozenset()):
        return super().forward(batch, needs - {"attentions"})


class ForgetsTheMaskOfTokens(CNNLayerSource):
    def forward(self, batch, needs=frozenset()):
        return replace(super().forward(batch, needs), mask=None)


class ForgetsItsEmbeddings(CNNLayerSource):
    def forward(self, batch, needs=frozenset()):
        return super().forward(batch, needs - {"embeddings"})


class ShowsTheRawTable(CNNLayerSource):
    def forward(self, batch, needs=frozenset()):
        states = super().forward(batch, needs)
        raw = self.model.get_input_embeddings()(batch["input_ids"])
        return states if states.embeddings is None else replace(states, embeddings=raw)


class DropsHolesIntoItsMaps(BertLayerSource):
    def forward(self, batch, needs=frozenset()):
        states = super().forward(batch, needs)
        if states.attentions is None:
            return states
        return replace(states, attentions=tuple(nn.functional.dropout(maps, 0.1, self.training)
                                                for maps in states.attentions))


class GivesScoresForMaps(BertLayerSource):
    def forward(self, batch, needs=frozenset()):
        states = super().forward(batch, needs)
        if states.attentions is None:
            return states
        return replace(states, attentions=tuple(maps.log() for maps in states.attentions))


class LooksAtPadding(BertLayerSource):
    def forward(self, batch, needs=frozenset()):
        states = super().forward(batch, needs)
        if states.attentions is None:
            return states
        return replace(states, attentions=tuple(torch.ones_like(maps) / maps.shape[-1] for maps in states.attentions))


class DropsOutAlways(CNNLayerSource):
    def forward(self, batch, needs=frozenset()):
        states = super().forward(batch, needs)
        return replace(states, pooled=tuple(nn.functional.dropout(layer, 0.5, True) for layer in states.pooled))


class RemembersTheLastBatch(CNNLayerSource):
    seen = 0

    def forward(self, batch, needs=frozenset()):
        states, before = super().forward(batch, needs), self.seen
        self.seen = len(batch["input_ids"])
        return replace(states, logits=states.logits + before)


class WritesIntoItsBatch(CNNLayerSource):
    def forward(self, batch, needs=frozenset()):
        states = super().forward(batch, needs)
        batch["input_ids"].clamp_(max=3)
        return states


class IgnoresTheSeed(CNNLayerSource):
    @classmethod
    def build(cls, options, context):
        return super().build(options, replace(context, seed=0))


class DrawsWeightsFromAnywhere(CNNLayerSource):
    @classmethod
    def build(cls, options, context):
        source = super().build(options, context)
        source.model.classifier.reset_parameters()
        return source


class SeedsTheWorld(CNNLayerSource):
    @classmethod
    def build(cls, options, context):
        torch.manual_seed(context.seed)
        return super().build(options, context)


class OwnsAnIdleWeight(CNNLayerSource):
    @classmethod
    def build(cls, options, context):
        source = super().build(options, context)
        source.model.idle = nn.Parameter(torch.zeros(1))
        return source


class DividesGradientsByZero(CNNLayerSource):
    def forward(self, batch, needs=frozenset()):
        states = super().forward(batch, needs)
        return replace(states, pooled=tuple((layer * 0.0).abs().sqrt() + layer for layer in states.pooled))


class AnswersInFloat32(CNNLayerSource):
    def forward(self, batch, needs=frozenset()):
        states = super().forward(batch, needs)
        return replace(states, pooled=tuple(layer.float() for layer in states.pooled))


class GoesElsewhere(CNNLayerSource):
    def forward(self, batch, needs=frozenset()):
        states = super().forward(batch, needs)
        return replace(states, pooled=tuple(layer.to("meta") for layer in states.pooled))


class LoadsAnotherClassifier(CNNLayerSource):
    @classmethod
    def load(cls, location, options, space=None):
        source = super().load(location, options, space)
        nn.init.normal_(source.model.classifier.weight)
        return source


class ForgetsItsLabels(CNNLayerSource):
    @classmethod
    def load(cls, location, options, space=None):
        source = super().load(location, options, space)
        source.label_names = None
        return source


class KeepsItsClassifier(CNNLayerSource):
    @classmethod
    def load(cls, location, options, space=None):
        return super().load(location, options)


class KeepsItsLabels(CNNLayerSource):
    @classmethod
    def load(cls, location, options, space=None):
        source = super().load(location, options, space)
        source.label_names = tuple(source.model.config.id2label.values())
        return source


class SharesTheTeachersTable(CNNLayerSource):
    @classmethod
    def build(cls, options, context):
        source = super().build(options, context)
        if context.teacher is not None:
            source.model.encoder.embeddings = context.teacher.model.encoder.embeddings
        return source


def case_of(kind):
    return LayerSourceCase(kind.__name__, kind, next(options for base, options in SMALL.items()
                                                     if issubclass(kind, base)))


CORRECT = [case_of(CNNLayerSource), case_of(BertLayerSource)]
MUTANTS = [Mutant(law, case_of(kind), message) for law, kind, message in [
    ("check_declared_facts", OneWidthForAll, r"widths are \(6,\) for 2 layers"),
    ("check_declared_facts", KnowsLabelsFromBirth, "label_names of a new model are"),
    ("check_states_of_any_text", CountsEmbeddings, "pooled has 3 layers, num_layers is 2"),
    ("check_states_of_any_text", DividesByTheOtherTokens, r"pooled\[0\] are not finite"),
    ("check_padding", AveragesThePadding, r"pooled\[0\] of a unit alone are not as expected"),
    ("check_unit_permutation", NormalisesTheBatch, "logits of permuted units are not as expected"),
    ("check_empty_text", DividesByTheOtherTokens, r"pooled\[0\] of the empty text are not finite"),
    ("check_tokenization", SortsTexts, "row . is not that of its text alone"),
    ("check_tokenization", PadsFloats, "pad gave tensors"),
    ("check_long_text", NeverCuts, "tokens with max_length="),
    ("check_pairs", DropsTheSecondText, "the second text of a pair is not read"),
    ("check_logits", HeatsItsLogits, "logits are not as expected"),
    ("check_parity", StartsAtTheEmbeddings, "states of layer 0 are not as expected"),
    ("check_needs", AlwaysGivesTokens, "are given without being asked for"),
    ("check_needs", NeverGivesTokens, "tokens are missing although the class says otherwise"),
    ("check_needs", PromisesAttentions, "attentions are missing although the class says otherwise"),
    ("check_needs", ForgetsTheMaskOfTokens, "no bool mask comes with tokens"),
    ("check_needs", ForgetsItsEmbeddings, "embeddings are missing although the class says otherwise"),
    ("check_needs", ShowsTheRawTable, r"embeddings\[0\] has the shape"),
    ("check_attentions", DropsHolesIntoItsMaps, r"sums of attentions\[0\] are not as expected"),
    ("check_attentions", GivesScoresForMaps, r"sums of attentions\[0\] are not as expected"),
    ("check_attentions", LooksAtPadding, r"attentions\[0\] look at padding"),
    ("check_determinism", DropsOutAlways, "differ when asked again"),
    ("check_determinism", RemembersTheLastBatch, "logits differ when asked again"),
    ("check_determinism", WritesIntoItsBatch, "differ when asked again|forward changes its batch"),
    ("check_threads", KeepsItsBatch, "of a batch beside others|of a batch have another shape"),
    ("check_seed", IgnoresTheSeed, "the seed changes no weight"),
    ("check_seed", DrawsWeightsFromAnywhere, "build moves a global generator"),
    ("check_seed", SeedsTheWorld, "build moves a global generator"),
    ("check_gradients", OwnsAnIdleWeight, "no gradient reaches model.idle"),
    ("check_gradients", DividesGradientsByZero, "gradients of .* are not finite"),
    ("check_half_precision", AnswersInFloat32, "a bfloat16 model gives others"),
    ("check_devices", GoesElsewhere, "are on meta, the model is on cpu"),
    ("check_save_and_load", LoadsAnotherClassifier, "logits of the loaded model differ"),
    ("check_save_and_load", ForgetsItsLabels, "label_names of the loaded model are None"),
    ("check_load_for_another_space", KeepsItsClassifier, "logits have 3 scores, not 5"),
    ("check_load_for_another_space", KeepsItsLabels, "label_names of a new classifier are"),
    ("check_teacher_is_left_alone", SharesTheTeachersTable, "the student changes weights of the teacher"),
]]


@every_mutant(MUTANTS)
def test_each_check_catches_an_adapter_that_breaks_its_law(mutant):
    assert mutant.is_caught(), mutant.finding()


def test_there_is_a_mutant_for_every_check():
    assert laws_without(MUTANTS, LAYER_SOURCE_CHECKS) == set()


@parametrize_with_checks(*CORRECT)
def test_an_adapter_that_keeps_the_laws_passes(case, check):
    passes(case, check)
