"""Leaving unread embedding rows out of training changes no number that is read."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ukd_core import BuildContext, LayerSource
from ukd_core.plugins import Registry
from ukd_core.run.rows import TokenizedRows
from ukd_core.run.vocabulary import trim_vocabulary

TEXTS = [f"word{number} and word{number + 1}" for number in range(60)]
READ = ["word3 and word7", "word9", ""]


@pytest.fixture(params=["bert", "roberta", "mpnet", "distilbert", "cnn", "bilstm"])
def source(request: pytest.FixtureRequest, registry: Registry) -> LayerSource:
    kind = registry.layer_sources.lookup(request.param)
    sizes = {"hidden": 16, "dropout": 0.0} | ({"vocab_size": 400} if "Word" not in kind.__mro__[1].__name__ else {})
    space = registry.output_spaces.lookup("classes")(["a", "b"])
    return kind.build(kind.Options(layers=2, **sizes), BuildContext(space, TEXTS, None, 32, 0))


def test_answers_stay_and_everything_comes_back(source: LayerSource):
    rows = {"train": TokenizedRows.of(source, READ, None, 32)}
    chosen = torch.arange(len(READ))
    before = {name: weight.clone() for name, weight in source.model.state_dict().items()}
    source.eval()
    with torch.no_grad():
        expected = source(rows["train"].batch(chosen)).logits
    small, trimmed = trim_vocabulary(source, rows)
    assert trimmed is not None
    table = source.model.get_input_embeddings()
    assert table.num_embeddings < 0.9 * trimmed.full.num_embeddings
    assert table.weight.requires_grad == trimmed.full.weight.requires_grad
    with torch.no_grad():
        assert torch.equal(source(small["train"].batch(chosen)).logits, expected)
    trimmed.restore()
    for name, weight in source.model.state_dict().items():
        assert torch.equal(weight, before[name]), name


def test_a_training_step_is_the_same(source: LayerSource):
    """Rows that are read move as in the whole table; the others stay."""
    rows = {"train": TokenizedRows.of(source, READ, None, 32)}
    chosen, weights = torch.arange(len(READ)), {}
    start = {name: weight.clone() for name, weight in source.model.state_dict().items()}
    for trim in (False, True):
        source.model.load_state_dict(start)
        used, trimmed = trim_vocabulary(source, rows) if trim else (rows, None)
        optimizer = torch.optim.AdamW(source.model.parameters(), lr=0.01, weight_decay=0.0)
        source.eval()
        for _ in range(3):
            optimizer.zero_grad()
            source(used["train"].batch(chosen)).logits.square().sum().backward()
            nn.utils.clip_grad_norm_(source.model.parameters(), 1.0)
            optimizer.step()
        if trimmed is not None:
            trimmed.restore()
        weights[trim] = {name: weight.clone() for name, weight in source.model.state_dict().items()}
    for name, weight in weights[False].items():
        torch.testing.assert_close(weights[True][name], weight, rtol=1e-4, atol=1e-5, msg=name)
    table = source.model.get_input_embeddings().weight
    read = torch.zeros(len(table), dtype=torch.bool)
    read[rows["train"].ragged.columns["input_ids"].long()] = True
    name = next(name for name, weight in source.model.named_parameters() if weight is table)
    assert torch.equal(table[~read], start[name][~read])
    assert not torch.equal(table[read], start[name][read])


def test_a_table_that_is_read_whole_stays(source: LayerSource):
    ids = list(range(source.model.get_input_embeddings().num_embeddings))
    rows = TokenizedRows.of(source, READ, None, 32)
    whole = {key: torch.tensor(ids) for key in rows.ragged.columns}
    rows = TokenizedRows(type(rows.ragged)(whole, torch.tensor([0, len(ids)])), source)
    assert trim_vocabulary(source, {"train": rows}) == ({"train": rows}, None)


def test_a_table_that_changes_when_it_is_read_stays(source: LayerSource):
    full = source.model.get_input_embeddings()
    clipped = nn.Embedding(full.num_embeddings, full.embedding_dim, padding_idx=full.padding_idx, max_norm=1.0)
    source.model.set_input_embeddings(clipped)
    rows = {"train": TokenizedRows.of(source, READ, None, 32)}
    assert trim_vocabulary(source, rows) == (rows, None)
    assert source.model.get_input_embeddings() is clipped


@pytest.mark.parametrize("hidden", ["by the source", "by the model"])
def test_a_table_that_is_not_shown_stays(source: LayerSource, monkeypatch: pytest.MonkeyPatch, hidden: str):
    def unknown() -> nn.Module:
        raise NotImplementedError

    if hidden == "by the source":  # as where ids are hashed
        monkeypatch.setattr(source, "input_embeddings", lambda: None)
    else:
        monkeypatch.setattr(source.model, "get_input_embeddings", unknown)
    rows = {"train": TokenizedRows.of(source, READ, None, 32)}
    assert source.input_embeddings() is None
    assert trim_vocabulary(source, rows) == (rows, None)
