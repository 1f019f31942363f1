"""Pseudo heads of the teacher: fitted on frozen states before distillation, then frozen.

Training them through the student's divergence instead would collapse: heads that all answer zero have divergence 0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call

from ukd_core.errors import InputError
from ukd_core.pseudo_head import PseudoHead

FIT = 1
"""Grows with every change that makes another head of the same states: kept answers of the older one fit no more."""
Loss = Callable[[Tensor], Tensor]
"""Logits (units, C) -> loss of each unit (units,)."""


def fit_head(head: PseudoHead, states: Tensor, loss: Loss, l2: float, max_iterations: int = 100) -> PseudoHead:
    """Fit one head to convergence with L-BFGS on standardised states; the returned head reads raw states.

    Minimises mean(loss) + l2 / (2 · units) · ‖weights‖², the objective of penalised logistic regression, in float64.
    The steps are taken in coordinates in which the states are nearly uncorrelated: the features of an encoder are so
    alike that plain L-BFGS is far from the optimum after hundreds of iterations.

    Args:
        head: A fresh head; changed and returned, frozen.
        states: Pooled states, shape (units, width), floating; from a frozen teacher.
        loss: Loss of each unit from its logits, nats.
        l2: Penalty on all weights but biases.
        max_iterations: Most L-BFGS iterations.

    Raises:
        InputError: a state is not finite.
    """
    if not bool(states.isfinite().all()):
        raise InputError("teacher", "expected finite hidden states, got nan or inf", "Its weights are damaged, or they "
                         "overflow in half precision.")
    states = states.double()
    mean, deviation = states.mean(dim=0), states.std(dim=0, correction=0).clamp(min=1e-6)
    standard = (states - mean) / deviation
    coordinates = _coordinates(standard, l2)
    weights = {name: parameter.detach().double() for name, parameter in head.named_parameters()}
    reads_states = {name for name, weight in weights.items() if weight.ndim == 2 and weight.shape[1] == head.width}
    free = {name: (weight * 0.01 if weight.ndim > 1 else torch.zeros_like(weight)).requires_grad_()
            for name, weight in weights.items()}
    optimizer = torch.optim.LBFGS(free.values(), max_iter=max_iterations, tolerance_grad=1e-5,
                                  tolerance_change=1e-10, history_size=20, line_search_fn="strong_wolfe")

    def parameters() -> dict[str, Tensor]:
        return {name: value @ coordinates if name in reads_states else value for name, value in free.items()}

    def closure() -> Tensor:
        optimizer.zero_grad()
        current = parameters()
        penalty = sum((value.square().sum() for value in current.values() if value.ndim > 1), standard.new_zeros(()))
        value = loss(functional_call(head, current, (standard,))).mean() + l2 / (2 * len(states)) * penalty
        value.backward()  # type: ignore[no-untyped-call]
        return value

    head.double()
    optimizer.step(closure)  # type: ignore[no-untyped-call]
    head.load_state_dict(parameters(), strict=False)
    head.absorb_standardisation(mean, deviation)
    return head.float().requires_grad_(False).eval()


def _coordinates(standard: Tensor, l2: float) -> Tensor:
    """L⁻¹ of LLᵀ = XᵀX/(2n) + l2/n, about the curvature of the objective: weights are W = V L⁻¹ for steps in V.

    Args:
        standard: X, standardised states, shape (n, width), float64.
        l2: The penalty; a little more is added, so that features that never vary do no harm.

    Returns:
        Shape (width, width), float64.
    """
    units, width = standard.shape
    curvature = standard.T @ standard / (2 * units)
    curvature.diagonal().add_(l2 / units + 1e-6)
    identity = torch.eye(width, dtype=standard.dtype, device=standard.device)
    inverse: Tensor = torch.linalg.solve_triangular(torch.linalg.cholesky(curvature), identity, upper=False)
    return inverse
