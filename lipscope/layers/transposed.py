"""A plain transposed convolution, whose linear part is the adjoint of a convolution."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from lipscope.bounds.convolution import absolute_bound
from lipscope.bounds.rounding import Arithmetic
from lipscope.bounds.strided import convolution_bound
from lipscope.layers.contract import LinearLayer, Rounding
from lipscope.layers.roundings import affine_rounding
from lipscope.records import Bound, Shape

Pair = tuple[int, int]


class ConvTranspose2d(LinearLayer):
    """``torch.nn.ConvTranspose2d``: the transpose of the convolution with the same numbers on the larger image.

    Args:
        weight: (in, out / groups, h, w).
        bias: (out,), or None.
        stride, padding, output_padding, dilation: (vertical, horizontal).
        groups: they divide both numbers of channels.
    """

    gradient_norm_preserving = False

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        stride: Pair = (1, 1),
        padding: Pair = (0, 0),
        output_padding: Pair = (0, 0),
        groups: int = 1,
        dilation: Pair = (1, 1),
    ) -> None:
        super().__init__()
        if weight.shape[0] % groups:
            raise ValueError(f"{weight.shape[0]} input channels cannot be put in {groups} groups")
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)
        self.stride, self.padding, self.output_padding = stride, padding, output_padding
        self.groups, self.dilation = groups, dilation
        self.kind = f"transposed conv {weight.shape[2]}x{weight.shape[3]}, stride {stride[0]}"

    def linear(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H', W')."""
        return self._convolved(x, None)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H', W')."""
        return self._convolved(x, self.bias)

    def _convolved(self, x: Tensor, bias: Tensor | None) -> Tensor:
        shift = None if bias is None else bias.to(x.dtype)
        return F.conv_transpose2d(
            x, self.weight.to(x.dtype), shift, self.stride, self.padding, self.output_padding, self.groups,
            self.dilation,
        )  # fmt: skip

    def bound(self, input_shape: Shape) -> Bound:
        """The norm of the convolution that it is the transpose of."""
        _, height, width = self.output_shape(input_shape)
        return convolution_bound(
            self.weight.detach(), (height, width), self.stride, self.padding, "zeros", self.groups, self.dilation
        )

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """At most as many products an output as a kernel has for it."""
        outputs, *places = self.output_shape(input_shape)
        kernel, size = self.weight.detach(), math.prod(places)
        absolute = max(absolute_bound(part) for part in kernel.chunk(self.groups))
        terms = kernel.shape[0] // self.groups * kernel.shape[2] * kernel.shape[3]
        return affine_rounding(
            self.bound(input_shape).value, absolute, terms, self.bias, size, outputs * size, norm, arithmetic
        )

    def output_shape(self, input_shape: Shape) -> Shape:
        """(out, H', W')."""
        if len(input_shape) != 3 or input_shape[0] != self.weight.shape[0]:
            raise ValueError(f"expects {self.weight.shape[0]} channels, got shape {input_shape}")
        spaces = zip(self.output_padding, self.stride, self.dilation, strict=True)
        if any(more >= max(stride, dilation) for more, stride, dilation in spaces):
            raise ValueError(f"output padding {self.output_padding} must be below stride or dilation")
        sizes = [
            (n - 1) * s - 2 * p + d * (k - 1) + more + 1
            for n, s, p, d, k, more in zip(
                input_shape[1:],
                self.stride,
                self.padding,
                self.dilation,
                self.weight.shape[2:],
                self.output_padding,
                strict=True,
            )
        ]
        if min(sizes) < 1:
            raise ValueError(f"nothing is left of {input_shape}")
        return (self.weight.shape[1] * self.groups, *sizes)
