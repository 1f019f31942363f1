"""Every pseudo head that ships keeps the laws of its interface."""

from __future__ import annotations

from ukd_plugins.pseudo_heads.linear import LinearHead

from ukd_core.testing import PseudoHeadCase, oracles, parametrize_with_checks


def linear_reference(head, states):
    weight, bias = (tensor.detach().double().numpy() for tensor in (head.linear.weight, head.linear.bias))
    return oracles.linear(states, weight, bias)


CASES = [
    PseudoHeadCase("linear", LinearHead, linear_reference),
]


@parametrize_with_checks(*CASES)
def test_shipped_pseudo_heads_keep_the_laws(case, check):
    check(case)


def test_everything_that_ships_is_among_them(registry):
    catalogue = registry.pseudo_heads
    shipped = {kind for name, kind in catalogue.items() if catalogue.origin(name).distribution == "ukd"}
    assert shipped == {case.make for case in CASES}
