"""The only places that word an error about the shape of a tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ukd_core.errors import ShapeError

if TYPE_CHECKING:
    from torch import Tensor

    from ukd_core.layer_source import LayerStates


def check_stacks(where: str, student: Tensor, teacher: Tensor) -> None:
    """Refuse layer stacks that do not agree: (S, units, D) and (T, units, D) with S, T ≥ 1."""
    for side, stack in (("student", student), ("teacher", teacher)):
        if stack.ndim != 3 or stack.shape[0] < 1:
            raise ShapeError(where, f"{side} expected (layers ≥ 1, units, D), got {tuple(stack.shape)}")
    for axis, meaning in ((1, "units"), (2, "D")):
        if student.shape[axis] != teacher.shape[axis]:
            raise ShapeError(where, f"student {tuple(student.shape)} and teacher {tuple(teacher.shape)} "
                                    f"expected to agree in {meaning} (axis {axis})")


def check_weights(where: str, weights: Tensor, student: Tensor, teacher: Tensor) -> None:
    """Refuse weights of a projector that are not (S, T, units)."""
    expected = (student.shape[0], teacher.shape[0], student.shape[1])
    if tuple(weights.shape) != expected:
        raise ShapeError(where, f"weights expected (S, T, units) = {expected}, got {tuple(weights.shape)}")


def check_loss(where: str, loss: object) -> None:
    """Refuse what a term gives if it is not a tensor of one number, shape ()."""
    found = getattr(loss, "shape", None)
    if found is None or len(found):
        raise ShapeError(where, f"loss expected shape (), got {type(loss).__name__ if found is None else tuple(found)}")


def check_states(where: str, states: LayerStates, units: int, widths: tuple[int, ...]) -> None:
    """Refuse states that are not (units, width) a layer, and scores that are not (units, C)."""
    found, expected = [tuple(layer.shape) for layer in states.pooled], [(units, width) for width in widths]
    if found != expected:
        raise ShapeError(where, f"pooled states expected (units, width) = {expected}, got {found}")
    if states.logits.ndim != 2 or len(states.logits) != units:
        raise ShapeError(where, f"logits expected (units = {units}, C), got {tuple(states.logits.shape)}")
