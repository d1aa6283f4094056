"""Roots of sums of squares, place by place: (a u^2 + b v^2 + c)^(1/2) as the length of a vector of two or three."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lipscope.models.capture.graph import Op
from lipscope.models.capture.operations import matches
from lipscope.models.capture.steps import Step, Steps


@dataclass(frozen=True)
class Squares:
    """sum_i f_i u_i^2 + constant.

    Args:
        parts: (f, u).
        constant: what does not depend on the input.
    """

    parts: tuple[tuple[float, Op], ...]
    constant: float = 0.0

    def times(self, factor: float) -> Squares:
        """Each part and the constant multiplied."""
        return Squares(tuple((factor * own, value) for own, value in self.parts), factor * self.constant)


@matches("sqrt", "pow")
def _root(op: Op, steps: Steps) -> None:
    inside, power = op.given["self"], op.given.get("exponent", 0.5)
    found = _squares(inside) if power == 0.5 else None
    factors = [] if found is None else [found.constant, *(factor for factor, _ in found.parts)]
    if found is None or not all(0 <= factor < math.inf for factor in factors):
        raise op.refuse("only the root of a sum of squares is a layer")
    if any(value.shape != op.shape for _, value in found.parts):
        raise op.refuse("it adds squares of different shapes")
    values: list[Op | Step] = []
    for factor, value in found.parts:
        scale = torch.tensor([math.sqrt(factor)], dtype=torch.float64)
        values.append(steps.add("scale_shift", op.shape, of=(value,), tensors={"scale": scale}))
    count, places = len(values), math.prod(op.shape)
    if count > 1:
        steps.add("concatenation", (count * op.shape[0], *op.shape[1:]), of=tuple(values))
    steps.add("reshape", (count, places))
    steps.add("permute", (places, count), order=[1, 0])
    steps.add("reshape", (places, 1, count))
    if found.constant:
        count += 1
        steps.add("pad", (places, 1, count), padding=[[0, 1]], padding_mode="zeros", value=math.sqrt(found.constant))
    steps.add("l2_pool", (places, 1, 1), kernel_size=[1, count])
    steps.add("flatten" if len(op.shape) == 1 else "reshape", op.shape)


def _squares(value: Any) -> Squares | None:
    """A value as a sum of squares; None where it is none."""
    if not isinstance(value, Op):
        number = _number(value)
        return None if number is None else Squares((), number)
    first, second = value.given.get("self"), value.given.get("other")
    if value.base == "square" or (value.base == "pow" and value.given["exponent"] == 2):
        return Squares(((1.0, first),)) if isinstance(first, Op) else None
    if value.base == "mul" and first is second and isinstance(first, Op):
        return Squares(((1.0, first),))
    if value.base == "add" and value.given.get("alpha", 1) == 1:
        one, other = _squares(first), _squares(second)
        return one and other and Squares(one.parts + other.parts, one.constant + other.constant)
    if value.base in ("mul", "div"):
        factor, inner = (
            (_number(second), _squares(first)) if isinstance(first, Op) else (_number(first), _squares(second))
        )
        if factor is None or inner is None or (value.base == "div" and not (factor and isinstance(first, Op))):
            return None
        return inner.times(1 / factor if value.base == "div" else factor)
    return None


def _number(value: Any) -> float | None:
    if isinstance(value, Tensor) and value.numel() == 1:
        return float(value)
    return float(value) if isinstance(value, int | float) else None
