"""Steps down a convex potential: x -> x - 2 G^T relu(G x + c), 1-Lipschitz for ||G|| <= 1.

Almost everywhere the Jacobian is I - 2 G^T S G, S diagonal with entries from 0 to 1, and 0 <= G^T S G <= ||G||^2. So
its eigenvalues lie in [1 - 2 ||G||^2, 1], and L = max(1, 2 ||G||^2 - 1), whatever the shape of G (Meunier et al., ICML
2022; Araujo et al., ICLR 2023). Here G is a plain convolution or matrix, as other people's networks write SLL and CPL.
"""

from __future__ import annotations

import math

from torch import Tensor

from lipscope.bounds.matrix import length_bound
from lipscope.bounds.rounding import Arithmetic, outward, up
from lipscope.layers.contract import LipschitzLayer, Rounding
from lipscope.layers.conv2d import Conv2d
from lipscope.layers.joints import Sum
from lipscope.layers.linear import Linear
from lipscope.layers.transposed import ConvTranspose2d
from lipscope.records import Bound, Shape


class PotentialStep(LipschitzLayer):
    """x -> x - 2 G^T relu(G x + c), G with any number of rows.

    Args:
        inner: x -> G x + c; a convolution has zero padding, the same on both sides of an axis, and stride 1.

    Raises:
        ValueError: another convolution.
    """

    kind = "step down a convex potential"
    gradient_norm_preserving = False

    def __init__(self, inner: Conv2d | Linear) -> None:
        super().__init__()
        self.inner = inner
        self.back: LipschitzLayer
        if isinstance(inner, Linear):
            self.back = Linear(inner.weight.detach().mT.contiguous())
            return
        (top, bottom), (left, right) = inner.sides
        if inner.padding_mode != "zeros" or (top, left) != (bottom, right) or inner.stride != (1, 1):
            raise ValueError("a step down a potential has zero padding, the same on both sides, and stride 1")
        self.back = ConvTranspose2d(
            inner.weight.detach().clone(), padding=(top, left), groups=inner.groups, dilation=inner.dilation
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) to the same shape."""
        step: Tensor = self.back(self.inner(x).relu())
        return x - 2 * step

    def bound(self, input_shape: Shape) -> Bound:
        """Max(1, 2 ||G||^2 - 1), with a proved ||G||."""
        return step_bound(self.inner.bound(input_shape))

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """As :func:`step_rounding`."""
        inside = self.inner.output_shape(input_shape)
        first = self.inner.rounding(input_shape, norm, arithmetic)
        back = self.back.rounding(inside, first.norm, arithmetic)
        bias = self.inner.bias
        places = math.prod(inside) // self.inner.weight.shape[0]
        offset = 0.0 if bias is None else outward(length_bound(bias) * math.sqrt(places))
        largest = self.inner.bound(input_shape)
        return step_rounding(largest, first, back, offset, math.prod(input_shape), norm, arithmetic)

    def output_shape(self, input_shape: Shape) -> Shape:
        """The same shape."""
        after = self.back.output_shape(self.inner.output_shape(input_shape))
        if after != input_shape:
            raise ValueError(f"the step has the shape {after}, its input {input_shape}")
        return after


def step_bound(largest: Bound) -> Bound:
    """Max(1, 2 ||G||^2 - 1), with a proved bound on ||G||."""
    if not largest.proved:
        return largest
    if largest.value <= 1:
        return Bound.exactly(1.0, f"a step down a convex potential, ||G|| <= 1 by {largest.method}")
    return Bound(max(1.0, up(2 * up(largest.value * largest.value) - 1)), f"2 ||G||^2 - 1, ||G|| by {largest.method}")


def step_rounding(
    largest: Bound, inner: Rounding, back: Rounding, offset: float, size: int, norm: float, arithmetic: Arithmetic
) -> Rounding:
    """The error of G x + c, carried through G^T; that of G^T; and that of the difference.

    Args:
        largest: a proved bound on ||G||.
        inner: of G x + c.
        back: of G^T for inputs of the norm of ``inner``.
        offset: a bound on ||c||, all places together.
        size: numbers in the result.
        norm: of the input.
        arithmetic: that it is computed in.
    """
    step = Rounding(outward(largest.value * inner.error + back.error), back.norm)
    error = Sum((1.0, -2.0)).rounded([Rounding(0.0, norm), step], size, arithmetic).error
    # f(0) = -2 G^T relu(c).
    reach = step_bound(largest).value * norm + 2 * largest.value * offset
    return Rounding(error, arithmetic.held(outward(reach + error)))
