"""A plain linear layer: x -> W x + b, with no parametrisation."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from lipscope.bounds.convolution import absolute_bound
from lipscope.bounds.matrix import spectral_norm_bound
from lipscope.bounds.rounding import Arithmetic
from lipscope.layers.contract import LinearLayer, Rounding
from lipscope.layers.roundings import affine_rounding
from lipscope.records import Bound, Shape


class Linear(LinearLayer):
    """``torch.nn.Linear`` on (N, ..., features).

    Args:
        weight: (out, in).
        bias: (out,), or None.
    """

    gradient_norm_preserving = False

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)
        self.kind = "linear"

    def linear(self, x: Tensor) -> Tensor:
        """(N, ..., in) to (N, ..., out)."""
        return F.linear(x, self.weight.to(x.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """(N, ..., in) to (N, ..., out)."""
        return F.linear(x, self.weight.to(x.dtype), None if self.bias is None else self.bias.to(x.dtype))

    def bound(self, input_shape: Shape) -> Bound:
        """The spectral norm of the weight."""
        return Bound(spectral_norm_bound(self.weight.detach()), "matrix norm by Cholesky")

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """One sum of products and a bias for each output."""
        outputs, inputs = self.weight.shape
        rows = math.prod(input_shape[:-1])
        lipschitz, absolute = self.bound(input_shape).value, absolute_bound(self.weight)
        return affine_rounding(lipschitz, absolute, inputs, self.bias, rows, rows * outputs, norm, arithmetic)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(..., out)."""
        outputs, inputs = self.weight.shape
        if not input_shape or input_shape[-1] != inputs:
            raise ValueError(f"expects {inputs} features in a row, got shape {input_shape}")
        return (*input_shape[:-1], outputs)
