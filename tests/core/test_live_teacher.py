"""A teacher that runs beside the student: who can be paired, what both read, and what never happens to the teacher."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest
import torch
from torch import nn
from ukd_plugins.output_spaces.classes import ClassesSpace

from ukd_adapters import BertLayerSource, BiLSTMLayerSource, CNNLayerSource, MPNetLayerSource, RobertaLayerSource
from ukd_core import BuildContext, Phase, TermInput, TermSpec
from ukd_core.errors import InputError
from ukd_core.plugins import Registry
from ukd_core.run.batches import RowDataset
from ukd_core.run.data import TaskData
from ukd_core.run.live import LiveTeacher, check_shown, runs_live, same_rows
from ukd_core.run.phases import needs_states
from ukd_core.run.rows import TokenizedRows
from ukd_core.run.trainer import DistillationModel
from ukd_core.run.vocabulary import trim_vocabulary
from ukd_core.term import Term

TEXTS = ["the harbour froze early", "our choir sings", "rain fell on the market and nobody bought an apple", "bread"]
SPACE = ClassesSpace(["a", "b"])
SMALL = {"layers": 2, "hidden": 8, "heads": 2, "intermediate": 12, "vocab_size": 320}


def build(adapter, teacher=None, max_length=32, **options):
    small = {key: value for key, value in SMALL.items() if key in adapter.Options.model_fields and not (
        key == "vocab_size" and teacher is not None) and key not in options}
    return adapter.build(adapter.Options(**small, **options), BuildContext(SPACE, TEXTS, teacher, max_length, 0))


def data() -> TaskData:
    split = datasets.Dataset.from_dict({"text": TEXTS, "label": [0, 1, 0, 1]})
    return TaskData({"train": split}, SPACE, pairs=False)


def phase(*terms: str) -> Phase:
    return Phase(name="p", terms=tuple(TermSpec(term=term) for term in terms))


def refused(registry: Registry, method: str, student, teacher) -> str:
    with pytest.raises(InputError) as caught:
        check_shown(f"method '{method}'", registry.methods.lookup(method).phases, registry, student=student,
                    teacher=teacher)
    return str(caught.value)


def test_adapters_without_maps_are_refused_by_name(registry: Registry):
    assert refused(registry, "tinybert", CNNLayerSource, BertLayerSource) == (
        "method 'tinybert': expected a student with attention maps, got adapter 'cnn'. "
        "Choose a student that has them (bert, distilbert, mpnet, roberta), or another method.")
    assert refused(registry, "pid", BertLayerSource, BiLSTMLayerSource) == (
        "method 'pid': expected a teacher with attention maps, got adapter 'bilstm'. "
        "Choose a teacher that has them (bert, distilbert, mpnet, roberta), or another method.")


def test_other_things_that_an_adapter_may_lack(registry: Registry):
    class Bag(CNNLayerSource):
        tokens_available = embeddings_available = False

    for term, what in (("token-hidden", "states of single tokens"), ("token-embeddings", "token embeddings")):
        with pytest.raises(InputError, match=f"phases: expected a student with {what}, got adapter 'cnn'"):
            check_shown("phases", [phase(term)], registry, student=Bag, teacher=BertLayerSource)
        check_shown("phases", [phase(term)], registry, student=CNNLayerSource, teacher=BertLayerSource)


def test_every_pair_is_fine_where_nothing_is_shown(registry: Registry):
    live = {name for name, method in registry.methods.items() if runs_live(method.phases, registry)}
    assert {"tinybert", "pid", "sid"} <= live and not live & {"none", "logit-kd", "universal-kd", "pkd", "rail-kd"}
    for name in set(registry.methods) - live:
        check_shown("m", registry.methods.lookup(name).phases, registry, student=CNNLayerSource, teacher=CNNLayerSource)


def test_states_are_kept_only_for_phases_in_which_the_teacher_does_not_run(registry: Registry):
    assert needs_states([phase("pooled-cosine")], registry)
    assert not needs_states([phase("pooled-cosine", "attention-map")], registry)
    assert needs_states([phase("pooled-cosine", "attention-map"), phase("pooled-cosine")], registry)


def test_other_tokens_are_refused(tmp_path: Path):
    teacher = build(BertLayerSource)
    with pytest.raises(InputError) as caught:
        same_rows("method 'pid'", teacher, build(RobertaLayerSource, teacher), data(), 32, tmp_path)
    assert str(caught.value).startswith("method 'pid': expected a student that reads the teacher's tokens, got adapter "
                                        "'roberta' and adapter 'bert' with different tokens. ")
    assert str(caught.value).endswith(
        "Give the student the teacher's tokenizer (one of the teacher's kind, or vocabulary=teacher) and both a "
        "--max-length that they can read, or choose another method.")


def test_another_vocabulary_of_equal_lengths_and_shorter_reach_are_told_apart(tmp_path: Path):
    teacher = build(BertLayerSource)
    other = build(BertLayerSource, teacher)
    state = other.tokenizer.get_vocab()
    one, two = other.tokenizer.tokenize(TEXTS[1])[:2]
    swapped = {**state, one: state[two], two: state[one]}
    other.tokenizer = type(other.tokenizer)(vocab=swapped)
    with pytest.raises(InputError, match=r"different tokens\."):
        same_rows("m", teacher, other, data(), 32, tmp_path)
    short = build(BertLayerSource, teacher)
    short.model.config.max_position_embeddings = 6
    with pytest.raises(InputError, match=r"different tokens\."):
        same_rows("m", teacher, short, data(), 32, tmp_path)


@pytest.mark.parametrize("student", [(BertLayerSource, {}), (BertLayerSource, {"init": "teacher-lower"}),
                                     (CNNLayerSource, {"vocabulary": "teacher"})])
def test_what_shares_the_tokenizer_reads_the_same(student, tmp_path: Path):
    teacher = build(BertLayerSource)
    adapter, options = student
    own = adapter.build(adapter.Options(**options), BuildContext(SPACE, TEXTS, teacher, 32, 0))
    rows = same_rows("m", teacher, own, data(), 32, tmp_path)
    assert rows.source is teacher
    expected = teacher.tokenize(TEXTS, max_length=32)["input_ids"]
    assert rows.ragged.columns["input_ids"].tolist() == [token for row in expected for token in row]


def test_both_sides_are_padded_to_one_length_that_both_can_read():
    teacher = build(BertLayerSource)
    student = build(BertLayerSource, teacher)
    teacher.model.config.max_position_embeddings = 13
    parts = [TokenizedRows.of(source, TEXTS, None, 13) for source in (student, teacher)]
    longest = int(parts[0].lengths().max())
    assert 8 < longest <= 13 < student.padded_length(longest)
    batch = RowDataset(parts[0], torch.zeros(4).long(), teacher_rows=parts[1]).__getitems__([0, 2])
    assert batch["input_ids"].shape == batch["teacher_batch"]["input_ids"].shape == (2, 13)
    assert torch.equal(batch["attention_mask"], batch["teacher_batch"]["attention_mask"])


class Recorder(Term):
    """Needs everything, and keeps what it saw."""

    name = "recorder"
    needs = frozenset(f"{side}-{what}" for side in ("student", "teacher")
                      for what in ("tokens", "attentions", "embeddings"))

    def forward(self, batch: TermInput) -> torch.Tensor:
        self.seen = batch
        assert batch.teacher is not None and batch.teacher.tokens is not None and batch.student.tokens is not None
        return sum((own * given).sum() for own, given in zip(batch.student.tokens, batch.teacher.tokens, strict=True))


def beside(student, teacher) -> tuple[DistillationModel, RowDataset]:
    """A model with a recorder, after the student's table was trimmed, and its rows."""
    rows = {"train": TokenizedRows.of(student, TEXTS, None, 32)}
    trimmed, _ = trim_vocabulary(student, rows)
    given = TokenizedRows.of(teacher, TEXTS, None, 32)
    term = Recorder.__new__(Recorder)
    nn.Module.__init__(term)
    model = DistillationModel(student, {"recorder": term}, [TermSpec(term="recorder")], SPACE,
                              LiveTeacher(teacher, given))
    return model, RowDataset(trimmed["train"], torch.tensor([0, 1, 0, 1]), teacher_rows=given)


def test_the_teacher_reads_its_own_ids_in_evaluation_mode_and_gets_no_gradient():
    teacher = build(BertLayerSource)
    student = build(BertLayerSource, teacher)
    expected = teacher.eval()(teacher.pad(teacher.tokenize(TEXTS, max_length=32)), frozenset({"tokens"}))
    model, rows = beside(student, teacher.train())
    batch = rows.__getitems__(range(4))
    assert not torch.equal(batch["input_ids"], batch["teacher_batch"]["input_ids"])  # the student's are renumbered
    model.train()
    model(**batch)["loss"].backward()
    seen = model.term_list[0].seen
    for own, given in zip(expected.tokens, seen.teacher.tokens, strict=True):
        torch.testing.assert_close(given, own)
        assert not given.requires_grad
    assert [layer.data_ptr() for layer in seen.teacher_states] == [layer.data_ptr() for layer in seen.teacher.pooled]
    assert torch.equal(seen.student.mask, seen.teacher.mask)
    assert seen.student.embeddings.shape == seen.teacher.embeddings.shape == (*seen.student.mask.shape, 8)
    assert not teacher.training and all(weight.grad is None for weight in teacher.parameters())
    assert any(weight.grad is not None for weight in student.parameters())


def test_the_teacher_is_no_part_of_the_module():
    teacher = build(BertLayerSource)
    model, rows = beside(build(BertLayerSource, teacher), teacher)
    ours = {id(weight) for weight in teacher.parameters()}
    assert not ours & {id(weight) for weight in model.parameters()}
    assert teacher not in list(model.modules()) and not [name for name in model.state_dict() if "live" in name]
    model.eval()
    assert set(model(**{**rows.__getitems__([0]), "teacher_batch": None})) == {"logits"}


@pytest.mark.parametrize("adapter", [BertLayerSource, RobertaLayerSource, MPNetLayerSource])
def test_maps_are_whole_in_training_and_leave_the_model_as_it_was(adapter):
    source = build(adapter, dropout=0.5).train()
    before = source.model.config._attn_implementation
    rates = [module.p for module in source.modules() if isinstance(module, nn.Dropout)]
    batch = source.pad(source.tokenize(TEXTS, max_length=32))
    maps = source(batch, frozenset({"attentions"})).attentions
    for layer in maps:
        torch.testing.assert_close(layer.sum(-1), torch.ones(layer.shape[:-1]))
        assert layer.requires_grad
    assert source.model.config._attn_implementation == before
    assert [m.p for m in source.modules() if isinstance(m, nn.Dropout)] == rates == [0.5] * len(rates)
    torch.manual_seed(3)
    first = source(batch).logits
    source(batch, frozenset({"attentions"}))
    torch.manual_seed(3)
    assert torch.equal(source(batch).logits, first)


@pytest.mark.parametrize(("adapter", "options", "width"), [
    (BertLayerSource, {}, 8), (CNNLayerSource, {"embedding_width": 5, "embeddings": "random"}, 8),
    (BiLSTMLayerSource, {"embedding_width": 5, "embeddings": "random"}, 5)])
def test_embeddings_are_what_the_first_layer_reads(adapter, options, width):
    source = build(adapter, **options).eval()
    states = source(source.pad(source.tokenize(TEXTS, max_length=32)), frozenset({"embeddings"}))
    assert source.embedding_width == width
    assert states.embeddings.shape == (*states.mask.shape, width) and states.tokens is None
