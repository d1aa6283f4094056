"""Padding on its own: zeros or another constant, or copies of pixels; negative padding cuts off."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from lipscope.bounds.padding import padding_bound, sources
from lipscope.bounds.rounding import Arithmetic, outward
from lipscope.layers.contract import LinearLayer, Rounding
from lipscope.records import Bound, Shape

Sides = tuple[tuple[int, int], ...]


def padded(x: Tensor, sides: Sides, mode: str, value: float = 0.0) -> Tensor:
    """The last axes of x padded by (before, after) each."""
    flat = [number for before, after in reversed(sides) for number in (before, after)]
    if mode == "zeros":
        return F.pad(x, flat, value=value)
    if x.ndim == len(sides) + 2 and len(sides) <= 3 and min(flat) >= 0:
        return F.pad(x, flat, mode=mode)
    for axis, (before, after) in enumerate(sides, start=x.ndim - len(sides)):
        if (before, after) != (0, 0):
            places = sources(x.shape[axis], (before, after), mode)
            x = x.index_select(axis, torch.tensor(places, device=x.device))
    return x


class Pad(LinearLayer):
    """``torch.nn.functional.pad``.

    Args:
        sides: (before, after) of the last axes, in their order.
        mode: ``"zeros"``, ``"circular"``, ``"reflect"`` or ``"replicate"``.
        value: instead of zeros.
    """

    gradient_norm_preserving = False

    def __init__(self, sides: Sides, mode: str = "zeros", value: float = 0.0) -> None:
        super().__init__()
        if value and mode != "zeros":
            raise ValueError("only padding with a constant has a value")
        self.sides, self.mode, self.value = sides, mode, value
        self.kind = f"padding, {mode if not value else f'{value:g}'}"

    def linear(self, x: Tensor) -> Tensor:
        """Padding with zeros or copies."""
        return padded(x, self.sides, self.mode)

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) to a larger shape, or a smaller one."""
        return padded(x, self.sides, self.mode, self.value)

    def bound(self, input_shape: Shape) -> Bound:
        """The root of how often a pixel occurs at most."""
        return padding_bound(input_shape[-len(self.sides) :], self.sides, self.mode)

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """Nothing is computed; the constant counts in the norm, and is rounded to the arithmetic."""
        largest = outward(self.bound(input_shape).value * norm)
        if not self.value:
            return Rounding(0.0, arithmetic.held(largest))
        offset = outward(abs(self.value) * math.sqrt(math.prod(self.output_shape(input_shape))))
        return Rounding(0.0, largest).shifted(offset, math.prod(self.output_shape(input_shape)), arithmetic)

    def output_shape(self, input_shape: Shape) -> Shape:
        """The padded shape."""
        if len(self.sides) > len(input_shape):
            raise ValueError(f"pads {len(self.sides)} axes, got shape {input_shape}")
        first = len(input_shape) - len(self.sides)
        ends = [len(sources(n, sides, self.mode)) for n, sides in zip(input_shape[first:], self.sides, strict=True)]
        return (*input_shape[:first], *ends)
