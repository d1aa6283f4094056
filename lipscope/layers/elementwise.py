"""Activations that act on each number alone: ReLU and leaky ReLU."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from lipscope.bounds.rounding import Arithmetic, outward
from lipscope.layers.contract import LipschitzLayer, Rounding
from lipscope.records import Bound, Shape


class ReLU(LipschitzLayer):
    """max(x, 0): 1-Lipschitz, and it loses the gradient of every number that it cuts."""

    kind = "ReLU"
    gradient_norm_preserving = False

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return torch.relu(x)

    def bound(self, input_shape: Shape) -> Bound:
        """Exactly 1: the slopes are 0 and 1."""
        return Bound.exactly(1.0, "slopes 0 and 1")

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """Numbers are kept or cut, not computed."""
        return Rounding(0.0, norm)

    def output_shape(self, input_shape: Shape) -> Shape:
        """The same shape."""
        return input_shape


class LeakyReLU(LipschitzLayer):
    """x where x > 0 and s x elsewhere.

    Args:
        slope: s, at most 1 in absolute value.

    Raises:
        ValueError: a steeper slope.
    """

    gradient_norm_preserving = False

    def __init__(self, slope: float) -> None:
        super().__init__()
        if not abs(slope) <= 1:
            raise ValueError(f"the slope must lie between -1 and 1, got {slope}")
        self.slope = slope
        self.gradient_norm_preserving = abs(slope) == 1
        self.kind = f"leaky ReLU {slope:g}"

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return F.leaky_relu(x, self.slope)

    def bound(self, input_shape: Shape) -> Bound:
        """Exactly 1: the slopes are 1 and s."""
        return Bound.exactly(1.0, f"slopes 1 and {self.slope:g}")

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """The slope is rounded to the dtype, and the product with it: gamma_2 |s| |x|."""
        flushed = 2 * arithmetic.smallest * (math.sqrt(math.prod(input_shape)) + norm)
        error = arithmetic.held(outward(arithmetic.gamma(2) * abs(self.slope) * norm + flushed))
        return Rounding(error, arithmetic.held(outward(norm + error)))

    def output_shape(self, input_shape: Shape) -> Shape:
        """The same shape."""
        return input_shape
