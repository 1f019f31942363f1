"""The laws of a term, as checks that anybody can run on their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

import torch
from hypothesis import strategies as st
from torch import Tensor

from ukd_core.catalogue import Registry
from ukd_core.errors import InputError, UKDError
from ukd_core.output_space import OutputSpace
from ukd_core.term import Term, TermInput
from ukd_core.testing.checks import (
    Case,
    Check,
    exceptions_of,
    expect,
    expect_close,
    expect_finite,
    expect_same,
    for_half,
    repeatable,
    seeded,
)
from ukd_core.testing.parts import installed, missing_labels, small_space
from ukd_core.testing.strategies import KINDS, Kind, fractions, orders
from ukd_core.testing.term_inputs import (
    NEEDS,
    Layers,
    cast,
    layer_counts,
    only,
    random_batch,
    take,
    term_batches,
    track,
    with_other,
)

PAIRS = tuple(Layers(students, teachers) for students, teachers in (
    ((4,), (4,)), ((3, 5), (4, 4, 4)), ((4, 4, 4), (6,)), ((2,), (3,) * 12), ((3,) * 7, (4, 2))))
"""Models of different depths and widths."""


@dataclass(frozen=True, slots=True, eq=False)
class TermCase(Case):
    """A term to be checked, with what the kit must know of it."""

    kind: type[Term]
    """Its class."""
    options: Any = None
    """An instance of its `Options`; None for the defaults."""
    reference: Callable[[Term, TermInput], float] | None = None
    """The same loss computed another way, from the weights of a term and a batch in float64."""
    zero_at_equality: bool | None = None
    """Whether the loss is 0 where all layers of both models give the same scores; None: where the term needs
    "teacher-scores" and no labels."""
    spaces: Sequence[str] = ("classes", "multilabel", "regression")
    """Names of the output spaces to try; one that the constructor refuses with a `UKDError` is left out."""
    registry: Registry | None = None
    """Where output spaces, projectors and heads come from; None: everything that is installed."""

    word: ClassVar[str] = "term"

    @property
    def checks(self) -> tuple[Check, ...]:
        """The laws of a term."""
        return TERM_CHECKS

    def declared(self) -> Mapping[str, str]:
        """The `exceptions` of the class, where it has such an attribute."""
        return exceptions_of(self.kind)

    def not_applicable(self) -> frozenset[str]:
        """Laws about labels, equality or a reference, where the term has nothing to do with them."""
        needs = self.kind.needs
        equality = "teacher-scores" in needs and not needs & {"labels", "known-labels"}
        left_out = {"check_unlabelled_units": "labels" not in needs,
                    "check_zero_at_equality": not (equality if self.zero_at_equality is None else
                                                   self.zero_at_equality),
                    "check_no_gradient_to_teacher": not any(need.startswith("teacher-") for need in needs),
                    "check_look": self.kind.look is Term.look,
                    "check_against_reference": self.reference is None}
        return frozenset(name for name, without in left_out.items() if without)


@lru_cache(maxsize=8)
def usable_spaces(case: TermCase) -> tuple[OutputSpace, ...]:
    """The output spaces that the term can be built for.

    Raises:
        InputError: there is none.
    """
    found, refusal = [], "none of them is registered"
    registry = case.registry or installed()
    for name in case.spaces:
        if name in registry.output_spaces:
            space = small_space(registry.output_spaces[name])
            try:
                _built(case, PAIRS[0], space)
                found.append(space)
            except UKDError as error:
                refusal = str(error)
    if not found:
        raise InputError(f"term case '{case.name}'", f"expected an output space that the term can be built for among "
                                                     f"{list(case.spaces)}, got none ({refusal.rstrip('.')})",
                         "Name one in `spaces`.")
    return tuple(found)


def check_needs_are_known(case: TermCase) -> None:
    """Everything in `needs` is something that a run can give."""
    unknown = sorted(case.kind.needs - NEEDS)
    expect(case, not unknown, f"needs {unknown} are not known; those that are: {sorted(NEEDS)}")


@for_half
def check_scalar_loss(case: TermCase, data: st.DataObject) -> None:
    """The loss is one finite floating number on the student's device, of float32 at least."""
    dtype = data.draw(st.sampled_from([torch.float64, torch.float32]))
    term, _, batch = _drawn(case, data, dtype=dtype)
    loss = _loss(case, term, batch)
    expect(case, loss.shape == (), f"the loss has the shape {tuple(loss.shape)}, expected ()")
    expect(case, loss.dtype in (torch.float32, dtype), f"the loss is {loss.dtype}, expected float32 or {dtype}")
    expect(case, loss.device == batch.student.logits.device, f"the loss is on {loss.device}")
    expect_finite(case, "losses", loss)


@for_half
def check_loss_is_not_negative(case: TermCase, data: st.DataObject) -> None:
    """The loss is 0 or more, but for rounding."""
    term, _, batch = _drawn(case, data)
    scores = batch.teacher_scores
    scale = max(1.0, float(batch.student.logits.abs().max()), 0.0 if scores is None else float(scores.abs().max()))
    loss = float(_loss(case, term, batch).detach())
    expect(case, loss >= -scale * case.tolerance(torch.float64), f"the loss is negative: {loss:g}")


@for_half
def check_zero_at_equality(case: TermCase, data: st.DataObject) -> None:
    """The loss is 0 where every layer of the student and of the teacher gives the same scores."""
    space = data.draw(st.sampled_from(usable_spaces(case)))
    layers = data.draw(layer_counts(least_width=space.size))
    batch = data.draw(term_batches(space, layers))
    scores = batch.student.logits
    pooled = tuple(torch.cat([scores, states[:, space.size:]], dim=1) for states in batch.student.pooled)
    equal = replace(batch, student=replace(batch.student, pooled=pooled),
                    teacher_scores=scores.expand(len(layers.teacher_widths) + 1, *scores.shape).clone())
    term = _built(case, layers, space, bare_heads=True)
    loss = float(_loss(case, term, only(equal, case.kind.needs, space)).detach())
    expect(case, abs(loss) <= case.tolerance(torch.float64), f"the loss is {loss:g} where all scores are equal")


@for_half
def check_mean_over_units(case: TermCase, data: st.DataObject) -> None:
    """The loss is a mean over units: a batch with every unit twice has the same."""
    term, _, batch = _drawn(case, data)
    units = torch.arange(len(batch.labels)).repeat(2)
    expect_close(case, "losses of a doubled batch", _loss(case, term, take(batch, units)), _loss(case, term, batch))


@for_half
def check_unit_permutation(case: TermCase, data: st.DataObject) -> None:
    """The order of units does not matter."""
    term, _, batch = _drawn(case, data)
    order = data.draw(orders(len(batch.labels)))
    expect_close(case, "losses of permuted units", _loss(case, term, take(batch, order)), _loss(case, term, batch))


@for_half
def check_unlabelled_units(case: TermCase, data: st.DataObject) -> None:
    """For a term that needs labels, units without one change nothing; without any label loss and gradients are 0."""
    term, space, batch = _drawn(case, data)
    labelled = batch.labelled.nonzero().flatten()
    if len(labelled):
        expect_close(case, "losses of the labelled units", _loss(case, term, take(batch, labelled)),
                     _loss(case, term, batch))
    missing = missing_labels(space, len(batch.labels))
    none = replace(batch, labels=missing, labelled=space.is_labelled(missing))
    student, _ = track(none)
    loss = _loss(case, term, none)
    expect(case, float(loss.detach()) == 0.0, f"the loss is {float(loss.detach()):g} without any label")
    if loss.requires_grad:
        for name, gradient in _gradients(loss, student).items():
            expect(case, gradient is None or not bool(gradient.any()), f"{name} has a gradient without any label")


@for_half
def check_no_gradient_to_teacher(case: TermCase, data: st.DataObject) -> None:
    """No gradient reaches the teacher's scores or states, nor what it shows of tokens."""
    term, _, batch = _drawn(case, data)
    _, teacher = track(batch)
    loss = _loss(case, term, batch)
    for name, gradient in (_gradients(loss, teacher) if loss.requires_grad else {}).items():
        expect(case, gradient is None or not bool(gradient.any()), f"a gradient reaches {name}")


def check_gradients(case: TermCase) -> None:
    """A gradient reaches the student and every trainable weight that the term owns; all are finite."""
    for space, layers in _every_setup(case):
        term, batch = _built(case, layers, space), only(random_batch(space, layers, 4, 0), case.kind.needs, space)
        student, _ = track(batch)
        weights = {name: weight for name, weight in term.named_parameters() if weight.requires_grad}
        loss = _loss(case, term, batch)
        expect(case, loss.requires_grad, "the loss carries no gradient")
        to_student = _gradients(loss, student)
        expect(case, any(gradient is not None and bool(gradient.any()) for gradient in to_student.values()),
               "no gradient reaches the student")
        to_weights = _gradients(loss, weights) if weights else {}
        for name, gradient in to_weights.items():
            expect(case, gradient is not None, f"no gradient reaches the term's weight {name}")
        for name, gradient in {**to_student, **to_weights}.items():
            expect_finite(case, f"gradients of {name}", gradient)


@for_half
def check_extreme_scores(case: TermCase, data: st.DataObject) -> None:
    """Loss and gradients are finite for scores and states up to ±1e4, in float32 and with a bfloat16 student."""
    dtype = data.draw(st.sampled_from([torch.float32, torch.bfloat16]))
    term, _, batch = _drawn(case, data, kinds=("extreme",), dtype=torch.float32)
    batch = cast(batch, dtype)
    student, _ = track(batch)
    loss = _loss(case, term, batch)
    expect_finite(case, "losses", loss)
    for name, gradient in (_gradients(loss, student) if loss.requires_grad else {}).items():
        expect_finite(case, f"gradients of {name}", gradient)


@for_half
def check_half_precision(case: TermCase, data: st.DataObject) -> None:
    """For a bfloat16 student, under autocast or not, the loss is near that of the same numbers in float32."""
    term, _, batch = _drawn(case, data, kinds=("ordinary", "tied", "tiny"), dtype=torch.float32)
    half = cast(batch, torch.bfloat16)
    expected = _loss(case, term, cast(half, torch.float32))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=data.draw(st.booleans())):
        loss = _loss(case, term, half)
    expect_close(case, "losses in bfloat16", loss, expected, case.tolerance(torch.bfloat16))


@for_half
def check_needs_are_enough(case: TermCase, data: st.DataObject) -> None:
    """What `needs` does not name is not used: with or without it the loss is the same."""
    term, space, batch = _drawn(case, data, everything=True)
    lean = only(batch, case.kind.needs, space)
    expect_close(case, "losses without what is not needed", _loss(case, term, lean), _loss(case, term, batch))


def check_needs_are_needed(case: TermCase) -> None:
    """Everything that `needs` names matters: other values give another loss."""
    for need in sorted(case.kind.needs & NEEDS):
        changed = []
        for space, layers in _every_setup(case):
            term = _built(case, layers, space)
            batch, other = (random_batch(space, layers, 6, seed) for seed in (0, 1))
            loss, after = (_loss(case, term, only(seen, case.kind.needs, space)).detach()
                           for seen in (batch, with_other(batch, other, need)))
            changed.append(not torch.equal(loss, after))
        expect(case, any(changed), f"'{need}' is in `needs`, but the loss does not depend on it")


@for_half
def check_determinism(case: TermCase, data: st.DataObject) -> None:
    """In evaluation mode, asked twice about the same batch, it answers the same."""
    term, _, batch = _drawn(case, data)
    expect_same(case, term(batch), term(batch), "the second loss differs from the first")


@for_half
def check_progress_alone_decides(case: TermCase, data: st.DataObject) -> None:
    """What `on_progress` leaves behind follows from its last argument, so that a resumed run is the same run."""
    space, layers = _setup(case, data)
    batch = only(data.draw(term_batches(space, layers)), case.kind.needs, space)
    resumed, continued = _built(case, layers, space), _built(case, layers, space)
    for fraction in (0.0, 0.3, 0.8, 0.4):
        continued.on_progress(fraction)
        _loss(case, continued, batch)
    resumed.on_progress(0.4)
    expect_same(case, _loss(case, resumed, batch), _loss(case, continued, batch), "what went before changes the loss")


@for_half
def check_state_round_trip(case: TermCase, data: st.DataObject) -> None:
    """A new term with the state_dict of another gives the same loss."""
    space, layers = _setup(case, data)
    batch = only(data.draw(term_batches(space, layers)), case.kind.needs, space)
    saved, loaded = _built(case, layers, space), _built(case, layers, space, seed=1)
    loaded.load_state_dict(saved.state_dict())
    expect_same(case, _loss(case, saved, batch), _loss(case, loaded, batch), "the state_dict does not hold all state")


def check_any_layer_counts(case: TermCase) -> None:
    """Models of any depth are taken, the student deeper than the teacher or both of one layer included."""
    for space, layers in _every_setup(case):
        batch = only(random_batch(space, layers, 2, 0), case.kind.needs, space)
        expect_finite(case, "losses", _loss(case, _built(case, layers, space), batch))


@for_half
def check_against_reference(case: TermCase, data: st.DataObject) -> None:
    """The loss agrees with the case's own reference; left out where it has none."""
    if case.reference is None:
        return
    term, _, batch = _drawn(case, data, progress=False)
    expected = torch.tensor(case.reference(term, batch), dtype=torch.float64)
    expect_close(case, "losses", _loss(case, term, batch), expected)


@for_half
def check_look(case: TermCase, data: st.DataObject) -> None:
    """What `look` shows has the stated shapes, weights are shares of the teacher's layers, and looking changes nothing.

    Left out where the term shows nothing.
    """
    term, space, batch = _drawn(case, data)
    before, state = _loss(case, term, batch), torch.get_rng_state()
    with repeatable(case), torch.no_grad():
        view = term.look(batch)
    expect_same(case, torch.get_rng_state(), state, "look draws random numbers")
    expect_same(case, _loss(case, term, batch), before, "the loss after a look differs from the one before")
    if view is None:
        return
    units, layers = len(batch.labels), set()
    for what, shown, ends in (("scores", view.scores, (units, space.size)), ("weights", view.weights, (units,))):
        if shown is not None:
            layers.add(len(shown))
            fits = shown.ndim == 3 and tuple(shown.shape[3 - len(ends):]) == ends and shown.shape[0] > 0
            expect(case, fits, f"look shows {what} of the shape {tuple(shown.shape)}, expected "
                               f"({'S, units, C' if what == 'scores' else 'S, T, units'}) with {ends} at its end")
            expect_finite(case, f"{what} that look shows", shown)
    expect(case, len(layers) < 2, f"look shows scores and weights of different numbers of layers: {sorted(layers)}")
    if view.weights is not None:
        expect(case, bool((view.weights >= 0).all()), "look shows negative weights")
        expect_close(case, "sums of the weights that look shows", view.weights.sum(1),
                     torch.ones_like(view.weights[:, 0]))


TERM_CHECKS: tuple[Check, ...] = (
    check_needs_are_known, check_scalar_loss, check_loss_is_not_negative, check_zero_at_equality,
    check_mean_over_units, check_unit_permutation, check_unlabelled_units, check_no_gradient_to_teacher,
    check_gradients, check_extreme_scores, check_half_precision, check_needs_are_enough, check_needs_are_needed,
    check_determinism, check_progress_alone_decides, check_state_round_trip, check_any_layer_counts, check_look,
    check_against_reference,
)
"""All laws of a term."""


def _setup(case: TermCase, data: st.DataObject) -> tuple[OutputSpace, Layers]:
    return data.draw(st.sampled_from(usable_spaces(case))), data.draw(layer_counts())


def _drawn(case: TermCase, data: st.DataObject, *, kinds: Sequence[Kind] = KINDS, progress: bool = True,
           dtype: torch.dtype = torch.float64, everything: bool = False) -> tuple[Term, OutputSpace, TermInput]:
    space, layers = _setup(case, data)
    batch = data.draw(term_batches(space, layers, kinds=kinds, dtype=dtype))
    term = _built(case, layers, space, dtype=dtype)
    fraction = data.draw(fractions) if progress else None
    if fraction is not None:
        term.on_progress(fraction)
    return term, space, batch if everything else only(batch, case.kind.needs, space)


def _built(case: TermCase, layers: Layers, space: OutputSpace, *, seed: int = 0, bare_heads: bool = False,
           dtype: torch.dtype = torch.float64) -> Term:
    setup = layers.setup(space, case.registry or installed(), bare_heads=bare_heads)
    with seeded(seed):
        return case.kind(case.options, setup).to(dtype).eval()


def _every_setup(case: TermCase) -> Iterator[tuple[OutputSpace, Layers]]:
    for space in usable_spaces(case):
        for layers in PAIRS:
            yield space, layers


def _loss(case: TermCase, term: Term, batch: TermInput) -> Tensor:
    with repeatable(case):
        loss: Tensor = term(batch)
    return loss


def _gradients(loss: Tensor, inputs: Mapping[str, Tensor]) -> dict[str, Tensor | None]:
    found = torch.autograd.grad(loss, list(inputs.values()), allow_unused=True, retain_graph=True)
    return dict(zip(inputs, found, strict=True))
