"""The laws of a layer source (an encoder with its tokenizer), as checks that anybody can run on their own."""

from __future__ import annotations

import copy
import math
import random
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from ukd_core.catalogue import Registry
from ukd_core.layer_source import Batch, LayerSource
from ukd_core.testing.checks import (
    Case,
    Check,
    exceptions_of,
    expect,
    expect_close,
    expect_finite,
    expect_same,
    for_some,
)
from ukd_core.testing.sources import answer, built, context_of, loaded, model_output, shared, space_of, stacks, weights
from ukd_core.testing.strategies import orders
from ukd_core.testing.texts import SENTENCES, text_batches

LONG = "lighthouse " * 600
"""More than most models can read."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerSourceCase(Case):
    """A layer source to be checked, with what the kit must know of it."""

    kind: type[LayerSource]
    """Its class."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of `build`; small ones make the kit fast."""
    load_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of `load`."""
    tokens: bool | None = None
    """Whether it has states of single tokens; None: what the class says in `tokens_available`, else that it has."""
    attentions: bool | None = None
    """Whether it has attention maps; None: `attentions_available` of the class."""
    embeddings: bool | None = None
    """Whether it has token embeddings; None: `embeddings_available` of the class."""
    parity: bool = True
    """False where `hidden_states` of the wrapped model are something else than the embeddings, then each layer."""
    half_precision: bool = True
    """False where the model cannot be cast to bfloat16."""
    max_length: int = 24
    """Longest input of the tests in tokens."""
    registry: Registry | None = None
    """Where the output space comes from; None: everything that is installed."""

    word: ClassVar[str] = "adapter"

    @property
    def checks(self) -> tuple[Check, ...]:
        """The laws of a layer source."""
        return LAYER_SOURCE_CHECKS

    def declared(self) -> Mapping[str, str]:
        """The `exceptions` of the class, where it has such an attribute."""
        return exceptions_of(self.kind)

    def not_applicable(self) -> frozenset[str]:
        """Laws about attention maps or half precision, where the model has none."""
        left_out = {"check_attentions": not self.gives("attentions"), "check_parity": not self.parity,
                    "check_half_precision": not self.half_precision}
        return frozenset(name for name, without in left_out.items() if without)

    def gives(self, need: str) -> bool:
        """Whether the source shows "tokens", "attentions" or "embeddings" when asked."""
        said: bool | None = getattr(self, need)
        return bool(getattr(self.kind, f"{need}_available")) if said is None else said


def check_declared_facts(case: LayerSourceCase) -> None:
    """Layers, widths, positions, learning rate and embeddings are what they say, and a new model has no labels."""
    source = built(case)
    expect(case, isinstance(source.num_layers, int) and source.num_layers >= 1, f"num_layers is {source.num_layers!r}")
    expect(case, len(source.widths) == source.num_layers and all(width >= 1 for width in source.widths),
           f"widths are {source.widths!r} for {source.num_layers} layers")
    rate, longest, table = source.learning_rate, source.max_positions, source.input_embeddings()
    expect(case, math.isfinite(rate) and rate > 0, f"learning_rate is {rate!r}")
    expect(case, longest is None or longest >= 1, f"max_positions is {longest!r}")
    expect(case, table is None or (table.ndim == 2 and not table.requires_grad),
           "input_embeddings expected a table (vocabulary, width) without gradient")
    expect(case, source.num_parameters >= 1, f"num_parameters is {source.num_parameters}")
    expect(case, source.label_names is None, f"label_names of a new model are {source.label_names!r}")


@for_some
def check_states_of_any_text(case: LayerSourceCase, data: st.DataObject) -> None:
    """Any texts, one unit, empty and odd ones included, give finite states of the declared layers and widths."""
    source, texts = shared(case), data.draw(text_batches())
    states = answer(case, source, texts)
    expect(case, len(states.pooled) == source.num_layers,
           f"pooled has {len(states.pooled)} layers, num_layers is {source.num_layers}")
    for layer, (pooled, width) in enumerate(zip(states.pooled, source.widths, strict=True)):
        expect(case, pooled.shape == (len(texts), width),
               f"pooled[{layer}] has the shape {tuple(pooled.shape)}, expected (units, width) {(len(texts), width)}")
        expect_finite(case, f"pooled[{layer}]", pooled)
    expected = (len(texts), space_of(case).size)
    expect(case, tuple(states.logits.shape) == expected,
           f"logits have the shape {tuple(states.logits.shape)}, expected (units, C) {expected}")
    expect_finite(case, "logits", states.logits)


@for_some
def check_padding(case: LayerSourceCase, data: st.DataObject) -> None:
    """Padding changes no unit: alone, among longer ones or padded further, its states are the same."""
    source, texts = shared(case), [*data.draw(text_batches(max_units=3)), " ".join(SENTENCES)]
    together = answer(case, source, texts)
    for index, text in enumerate(texts):
        for multiple in (1, 16):
            alone = answer(case, source, [text], multiple=multiple)
            for (what, single), (_, among) in zip(stacks(alone), stacks(together), strict=True):
                expect_close(case, f"{what} of a unit alone", single[0], among[index])


@for_some
def check_unit_permutation(case: LayerSourceCase, data: st.DataObject) -> None:
    """Permuting units permutes their states."""
    source, texts = shared(case), data.draw(text_batches())
    order = data.draw(orders(len(texts)))
    before, after = answer(case, source, texts), answer(case, source, [texts[unit] for unit in order.tolist()])
    for (what, permuted), (_, states) in zip(stacks(after), stacks(before), strict=True):
        expect_close(case, f"{what} of permuted units", permuted, states[order])


def check_empty_text(case: LayerSourceCase) -> None:
    """The empty text is a unit like any other, alone and among others, also for training."""
    source = built(case)
    alone, among = answer(case, source, [""]), answer(case, source, [SENTENCES[0], ""])
    for (what, single), (_, both) in zip(stacks(alone), stacks(among), strict=True):
        expect_finite(case, f"{what} of the empty text", single)
        expect_close(case, f"{what} of the empty text", single[0], both[1])
    batch = source.pad(source.tokenize([""], max_length=case.max_length))
    source(batch).logits.sum().backward()
    for name, weight in source.named_parameters():
        expect_finite(case, f"gradients of {name} for the empty text", weight.grad)


@for_some
def check_tokenization(case: LayerSourceCase, data: st.DataObject) -> None:
    """`tokenize` gives one row of ids a text, in order, the same as alone; `pad` puts them into int64 tensors."""
    source, texts = shared(case), data.draw(text_batches())
    columns = source.tokenize(texts, max_length=case.max_length)
    expect(case, "input_ids" in columns and all(len(rows) == len(texts) for rows in columns.values()),
           f"tokenize gave { {key: len(rows) for key, rows in columns.items()} } rows for {len(texts)} texts")
    lengths = [[len(row) for row in rows] for rows in columns.values()]
    expect(case, all(column == lengths[0] for column in lengths), f"columns of tokenize differ in length: {lengths}")
    for index, text in enumerate(texts):
        alone = source.tokenize([text], max_length=case.max_length)
        expect(case, all(alone[key][0] == rows[index] for key, rows in columns.items()),
               f"row {index} is not that of its text alone")
    batch = source.pad(columns)
    shapes = {tuple(tensor.shape) for tensor in batch.values()}
    expect(case, set(batch) == set(columns) and len(shapes) == 1 and next(iter(shapes))[0] == len(texts)
           and all(tensor.dtype == torch.int64 for tensor in batch.values()), f"pad gave tensors of shapes {shapes}")


def check_long_text(case: LayerSourceCase) -> None:
    """A text is cut to `max_length` and to what the model can read; the longest one that is left is read."""
    source = built(case)
    limits = {case.max_length: case.max_length, 10_000: source.max_positions or 10_000, 6: 6}
    for asked, limit in limits.items():
        for pairs in (None, [LONG]):
            ids = source.tokenize([LONG], pairs, max_length=asked)["input_ids"][0]
            expect(case, len(ids) <= limit, f"a long text has {len(ids)} tokens with max_length={asked}")
    batch = source.pad(source.tokenize([LONG], max_length=10_000))
    with torch.no_grad():
        expect_finite(case, "logits of a long text", source(batch).logits)


def check_pairs(case: LayerSourceCase) -> None:
    """Of a pair both texts are read."""
    source, first = built(case), list(SENTENCES[:2])
    pair, other = (answer(case, source, first, second) for second in (list(SENTENCES[2:4]), list(SENTENCES[3:5])))
    expect_finite(case, "logits of pairs", pair.logits)
    for unit in range(len(first)):
        expect(case, not torch.equal(pair.logits[unit], other.logits[unit]), "the second text of a pair is not read")


def check_logits(case: LayerSourceCase) -> None:
    """`logits` are those of the wrapped model, which is what is saved and deployed."""
    source = built(case)
    output, batch = model_output(case, source, list(SENTENCES))
    with torch.no_grad():
        expect_close(case, "logits", source(batch).logits, output.logits)


def check_parity(case: LayerSourceCase) -> None:
    """Layer 0 is the first hidden layer: where the wrapped model gives `hidden_states`, layer k is number k + 1."""
    source = built(case)
    output, batch = model_output(case, source, list(SENTENCES))
    hidden = getattr(output, "hidden_states", None)
    if hidden is None:
        return
    expect(case, len(hidden) == source.num_layers + 1,
           f"the model gives {len(hidden)} hidden states, expected the embeddings and {source.num_layers} layers")
    with torch.no_grad():
        states = source(batch, frozenset({"tokens"}) if case.gives("tokens") else frozenset())
    shown = states.pooled if hidden[1].ndim == 2 else states.tokens or ()
    for layer, (ours, theirs) in enumerate(zip(shown, hidden[1:], strict=bool(shown))):
        expect_close(case, f"states of layer {layer}", ours, theirs)


def check_needs(case: LayerSourceCase) -> None:
    """Token states, attention maps, embeddings and the mask come when asked for, well shaped, and change nothing."""
    source = built(case)
    plain = answer(case, source, list(SENTENCES))
    expect(case, all(given is None for given in (plain.tokens, plain.attentions, plain.embeddings, plain.mask)),
           "token states, attention maps, embeddings or a mask are given without being asked for")
    for need in ("tokens", "attentions", "embeddings"):
        states = answer(case, source, list(SENTENCES), needs=(need,))
        for (what, asked), (_, before) in zip(stacks(states), stacks(plain), strict=True):
            expect_close(case, f"{what} when {need} are asked for", asked, before)
        shown = getattr(states, need)
        expect(case, (shown is not None) == case.gives(need),
               f"{need} are {'missing' if shown is None else 'given'} although the class says otherwise")
        if shown is None:
            continue
        widths = source.widths
        if need == "embeddings":
            shown, widths = (shown,), (source.embedding_width,)
        expect(case, len(shown) == len(widths), f"{need} have {len(shown)} layers, not {len(widths)}")
        expect(case, states.mask is not None and states.mask.dtype == torch.bool, f"no bool mask comes with {need}")
        units, length = states.mask.shape if states.mask is not None else (0, 0)
        for layer, (tensor, width) in enumerate(zip(shown, widths, strict=True)):
            expected = ((units, length, width) if need != "attentions"
                        else (units, tensor.shape[1], length, length) if tensor.ndim == 4 else ())
            expect(case, tuple(tensor.shape) == expected,
                   f"{need}[{layer}] has the shape {tuple(tensor.shape)} beside a mask {(units, length)}")


def check_attentions(case: LayerSourceCase) -> None:
    """Attention maps are shares over tokens, also in training: rows are ≥ 0 and sum to 1, with nothing on padding."""
    for training in (False, True):
        states = answer(case, built(case).train(training), list(SENTENCES), needs=("attentions",))
        for layer, maps in enumerate(states.attentions or ()):
            expect_close(case, f"sums of attentions[{layer}]", maps.sum(-1), torch.ones(maps.shape[:-1]))
            expect(case, bool((maps >= 0).all()), f"attentions[{layer}] are negative")
            if states.mask is not None:
                on_padding = maps.masked_select(~states.mask[:, None, None, :])
                expect(case, bool((on_padding < 1e-6).all()), f"attentions[{layer}] look at padding")


def check_determinism(case: LayerSourceCase) -> None:
    """In evaluation mode the same batch gives the same states, whatever was read in between; it is left as it was."""
    source = built(case)
    batch = source.pad(source.tokenize(list(SENTENCES), max_length=case.max_length))
    kept = {key: tensor.clone() for key, tensor in batch.items()}
    with torch.no_grad():
        first = source(batch)
        source(source.pad(source.tokenize(["", LONG], max_length=case.max_length)))
        second = source(batch)
    for (what, once), (_, again) in zip(stacks(first), stacks(second), strict=True):
        expect_same(case, once, again, f"{what} differ when asked again")
    expect(case, set(batch) == set(kept) and all(torch.equal(batch[key], kept[key]) for key in kept),
           "forward changes its batch")


def check_threads(case: LayerSourceCase) -> None:
    """Several batches at once, each in a thread of its own, give what they give one after another."""
    source = shared(case).eval()
    texts = [list(SENTENCES[:count]) for count in range(1, len(SENTENCES) + 1)] * 4
    batches = [source.pad(source.tokenize(some, max_length=case.max_length)) for some in texts]

    def run(batch: Batch) -> list[tuple[str, Tensor]]:
        with torch.inference_mode():
            return list(stacks(source(batch)))

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, batches))
    for alone, states in zip(map(run, batches), together, strict=True):
        for (what, before), (_, after) in zip(alone, states, strict=True):
            expect(case, before.shape == after.shape, f"{what} of a batch have another shape beside other batches")
            expect_close(case, f"{what} of a batch beside others", after, before)


def check_seed(case: LayerSourceCase) -> None:
    """The same seed gives the same weights, another seed others; global random generators stay as they were."""
    before = torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    one, same, other = (weights(case.kind.build(case.kind.Options(**case.options), context_of(case, seed=seed)))
                        for seed in (1, 1, 2))
    after = torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    expect(case, torch.equal(before[0], after[0]) and before[1:] == after[1:], "build moves a global generator")
    changed = [name for name in one if name not in same or not torch.equal(one[name], same[name])]
    expect(case, not changed, f"the same seed gives other weights: {changed[:3]}")
    expect(case, any(not torch.equal(one[name], other[name]) for name in one), "the seed changes no weight")


def check_gradients(case: LayerSourceCase) -> None:
    """A gradient reaches every trainable weight, and none is infinite or no number."""
    source = built(case)
    states = source(source.pad(source.tokenize(list(SENTENCES), max_length=case.max_length)))
    sum((tensor.square().sum() + tensor.sum() for _, tensor in stacks(states)), torch.zeros(())).backward()  # type: ignore[no-untyped-call]
    for name, weight in source.named_parameters():
        if weight.requires_grad:
            expect(case, weight.grad is not None, f"no gradient reaches {name}")
        expect_finite(case, f"gradients of {name}", weight.grad)


def check_half_precision(case: LayerSourceCase) -> None:
    """Under autocast to bfloat16, and cast to it, states are finite and near those in float32."""
    source = built(case)
    exact, near = answer(case, source, list(SENTENCES)), 5 * case.tolerance(torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = answer(case, source, list(SENTENCES))
    cast = answer(case, copy.deepcopy(source).to(torch.bfloat16), list(SENTENCES))
    expect(case, all(tensor.dtype == torch.bfloat16 for _, tensor in stacks(cast)), "a bfloat16 model gives others")
    for how, states in (("under autocast", under), ("in bfloat16", cast)):
        for (what, tensor), (_, expected) in zip(stacks(states), stacks(exact), strict=True):
            expect_finite(case, f"{what} {how}", tensor)
            expect_close(case, f"{what} {how}", tensor, expected, near)


def check_devices(case: LayerSourceCase) -> None:
    """States are on the device of the model, for every kind of device that is there, and near those of the CPU."""
    source = built(case)
    exact = answer(case, source, list(SENTENCES))
    for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
        states = answer(case, source.to(device), list(SENTENCES))
        for (what, tensor), (_, expected) in zip(stacks(states), stacks(exact), strict=True):
            expect(case, tensor.device.type == device, f"{what} are on {tensor.device}, the model is on {device}")
            expect_close(case, f"{what} on {device}", tensor.cpu(), expected, 10 * case.tolerance(torch.float32))


def check_save_and_load(case: LayerSourceCase) -> None:
    """A saved model that is loaded again has the same states, tokens, layers and labels."""
    source = built(case)
    with tempfile.TemporaryDirectory() as folder:
        source.save(folder)
        again = loaded(case, folder)
        _expect_like(case, source, again)
        expect(case, again.label_names == space_of(case).labels,
               f"label_names of the loaded model are {again.label_names!r}, expected {space_of(case).labels!r}")
        expect(case, (again.num_layers, tuple(again.widths)) == (source.num_layers, tuple(source.widths)),
               "the loaded model has other layers or widths")


def check_load_for_another_space(case: LayerSourceCase) -> None:
    """Loaded for another task, a model keeps its layers and gets a new classifier, which has no label names yet."""
    source, space = built(case), space_of(case)
    other = type(space)([f"label {index}" for index in range(space.size + 2)])
    with tempfile.TemporaryDirectory() as folder:
        source.save(Path(folder))
        renewed = loaded(case, folder, other)
    states = answer(case, renewed, list(SENTENCES))
    expect(case, states.logits.shape[1] == other.size, f"logits have {states.logits.shape[1]} scores, not {other.size}")
    expect(case, renewed.label_names is None, f"label_names of a new classifier are {renewed.label_names!r}")
    kept = answer(case, source, list(SENTENCES)).pooled
    for layer, (now, before) in enumerate(zip(states.pooled, kept, strict=True)):
        expect_close(case, f"pooled[{layer}] after loading", now, before)


def check_teacher_is_left_alone(case: LayerSourceCase) -> None:
    """A student built beside a teacher of its own kind works, and changing its weights changes none of the teacher."""
    teacher = built(case, seed=1)
    kept = {name: tensor.clone() for name, tensor in weights(teacher).items()}
    student = built(case, teacher=teacher)
    expect_finite(case, "logits beside a teacher", answer(case, student, list(SENTENCES)).logits)
    with torch.no_grad():
        for weight in student.parameters():
            weight.add_(1.0)
    changed = [name for name, tensor in weights(teacher).items() if not torch.equal(tensor, kept[name])]
    expect(case, not changed, f"the student changes weights of the teacher: {changed[:3]}")


LAYER_SOURCE_CHECKS: tuple[Check, ...] = (
    check_declared_facts, check_states_of_any_text, check_padding, check_unit_permutation, check_empty_text,
    check_tokenization, check_long_text, check_pairs, check_logits, check_parity, check_needs, check_attentions,
    check_determinism, check_threads, check_seed, check_gradients, check_half_precision, check_devices,
    check_save_and_load, check_load_for_another_space, check_teacher_is_left_alone,
)
"""All laws of a layer source."""


def _expect_like(case: LayerSourceCase, source: LayerSource, again: LayerSource) -> None:
    texts = [*SENTENCES, "", LONG]
    first, second = (model.tokenize(texts, max_length=case.max_length) for model in (source, again))
    expect(case, first == second, "the loaded tokenizer gives other ids")
    pairs: list[tuple[tuple[str, Tensor], tuple[str, Tensor]]] = list(
        zip(stacks(answer(case, source, texts)), stacks(answer(case, again, texts)), strict=True))
    for (what, before), (_, after) in pairs:
        expect_same(case, before, after, f"{what} of the loaded model differ")
