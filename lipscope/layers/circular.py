"""Circular convolution with a kernel as large as the image, evaluated in the frequency domain as it was written."""

from __future__ import annotations

import math

from torch import Tensor, nn

from lipscope.bounds.convolution import circular_bound
from lipscope.bounds.rounding import Arithmetic, outward
from lipscope.layers.contract import LinearLayer, Rounding
from lipscope.layers.frequency import circular_product, circular_product_rounding
from lipscope.records import Bound, Shape


class CircularConv2d(LinearLayer):
    """y[o, p] = sum_(i, q) K[o, i, q] x[i, p + q] around the image: products with a fixed matrix at every frequency.

    Args:
        kernel: (out, in, n, n), for images of n x n.

    Raises:
        ValueError: another shape.
    """

    gradient_norm_preserving = False

    def __init__(self, kernel: Tensor) -> None:
        super().__init__()
        if kernel.ndim != 4 or kernel.shape[2] != kernel.shape[3]:
            raise ValueError(f"no kernel of a square image has the shape {tuple(kernel.shape)}")
        self.kernel = nn.Parameter(kernel)
        self.side = kernel.shape[-1]
        self.kind = f"circular conv {self.side}x{self.side}"

    def linear(self, x: Tensor) -> Tensor:
        """(N, in, n, n) to (N, out, n, n)."""
        return circular_product(x, self.kernel)

    def bound(self, input_shape: Shape) -> Bound:
        """The largest norm of the kernel's symbols."""
        self.output_shape(input_shape)
        norm = circular_bound(self.kernel.detach(), self.side, self.side)
        return Bound(norm, f"norm at {self.side}x{self.side} frequencies, by Cholesky")

    def circular_kernel(self, input_shape: Shape) -> Tensor:
        """The stored kernel."""
        return self.kernel.detach()

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """That of the passes to frequencies, through the symbols and back."""
        lipschitz, places = self.bound(input_shape).value, math.prod(self.output_shape(input_shape)[1:])
        error = circular_product_rounding(self.kernel.detach(), lipschitz, norm, places, arithmetic)
        return Rounding(error, arithmetic.held(outward(lipschitz * norm + error)))

    def output_shape(self, input_shape: Shape) -> Shape:
        """(out, n, n)."""
        if tuple(input_shape) != (self.kernel.shape[1], self.side, self.side):
            raise ValueError(f"takes images of {self.kernel.shape[1]}x{self.side}x{self.side} only: {input_shape}")
        return (self.kernel.shape[0], self.side, self.side)
