"""Plain affine maps of each channel, or of each number."""

from __future__ import annotations

import math

from torch import Tensor, nn

from lipscope.bounds.matrix import length_bound
from lipscope.bounds.rounding import Arithmetic, outward
from lipscope.layers.contract import LinearLayer, Rounding
from lipscope.records import Bound, Shape


class ScaleShift(LinearLayer):
    """x -> s x + b, with numbers of their own for each channel, for each number, or for all.

    Args:
        scale, shift: of a shape that broadcasts to that of the input, such as (C, 1, 1); None for 1 and 0.
    """

    gradient_norm_preserving = False

    def __init__(self, scale: Tensor | None, shift: Tensor | None) -> None:
        super().__init__()
        self.scale = None if scale is None else nn.Parameter(scale)
        self.shift = None if shift is None else nn.Parameter(shift)
        self.kind = "scale" if shift is None else "shift" if scale is None else "scale and shift"
        self.gradient_norm_preserving = scale is None or bool((scale.abs() == 1).all())

    def linear(self, x: Tensor) -> Tensor:
        """The products."""
        return x.clone() if self.scale is None else x * self.scale.to(x.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        scaled = x if self.scale is None else x * self.scale.to(x.dtype)
        return scaled if self.shift is None else scaled + self.shift.to(x.dtype)

    def bound(self, input_shape: Shape) -> Bound:
        """The largest |s|."""
        if self.scale is None:
            return Bound.exactly(1.0, "a shift")
        return Bound.exactly(float(self.scale.detach().abs().max()), "largest scale")

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """A product and an addition for each number, the stored ones rounded to the arithmetic: gamma_4."""
        shift, outputs, largest = 0.0, math.prod(input_shape), self.bound(input_shape).value
        if self.shift is not None:
            shift = outward(length_bound(self.shift) * math.sqrt(outputs / self.shift.numel()))
        reach = outward(largest * norm + shift)
        # A number that underflowed is multiplied by the scale, a scale that did by the number.
        flushed = 4 * arithmetic.smallest * (math.sqrt(outputs) * (1 + largest) + norm)
        error = arithmetic.held(outward(arithmetic.gamma(4) * reach + flushed), max(2 * reach, largest))
        return Rounding(error, arithmetic.held(outward(reach + error)))

    def output_shape(self, input_shape: Shape) -> Shape:
        """The same shape."""
        for value in (self.scale, self.shift):
            shape = () if value is None else tuple(value.shape)
            behind = input_shape[len(input_shape) - len(shape) :] if len(shape) <= len(input_shape) else ()
            if len(behind) != len(shape) or any(n not in (1, m) for n, m in zip(shape, behind, strict=True)):
                raise ValueError(f"numbers of shape {shape} do not go with {input_shape}")
        return input_shape
