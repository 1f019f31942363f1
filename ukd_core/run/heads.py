"""Pseudo heads of the teacher: fitted on frozen states before distillation, then frozen.

Training them through the student's divergence instead would collapse: heads that all answer zero have divergence 0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ukd_core.pseudo_head import PseudoHead

Loss = Callable[[Tensor], Tensor]
"""Logits (units, C) -> loss of each unit (units,)."""


def fit_head(head: PseudoHead, states: Tensor, loss: Loss, l2: float, max_iterations: int = 100) -> PseudoHead:
    """Fit one head to convergence with L-BFGS on standardised states; the returned head reads raw states.

    Minimises mean(loss) + l2 / (2 · units) · ‖weights‖², the objective of penalised logistic regression, in float64.

    Args:
        head: A fresh head; changed and returned, frozen.
        states: Pooled states, shape (units, width), floating; from a frozen teacher.
        loss: Loss of each unit from its logits, nats.
        l2: Penalty on all weights but biases.
        max_iterations: Most L-BFGS iterations.
    """
    states = states.double()
    mean, deviation = states.mean(dim=0), states.std(dim=0, correction=0).clamp(min=1e-6)
    standard = (states - mean) / deviation
    head.double()
    with torch.no_grad():
        for parameter in head.parameters():
            if parameter.ndim < 2:
                parameter.zero_()
            else:
                parameter.mul_(0.01)
    penalised = [parameter for parameter in head.parameters() if parameter.ndim > 1]
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=max_iterations, tolerance_grad=1e-7,
                                  tolerance_change=1e-10, history_size=20, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        penalty = sum((parameter.square().sum() for parameter in penalised), torch.zeros((), dtype=torch.float64))
        value = loss(head(standard)).mean() + l2 / (2 * len(states)) * penalty
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    head.absorb_standardisation(mean, deviation)
    return head.float().requires_grad_(False).eval()
