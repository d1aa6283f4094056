"""CPL (Meunier et al., ICML 2022) and SLL (Araujo et al., ICLR 2023), by :mod:`lipscope.layers.potential_step`.

Both are x - 2 K^T D relu(K x + b) with a positive diagonal D: relu is positively homogeneous, so G = D^(1/2) K and
c = D^(1/2) b. They differ in D, of which the proof knows nothing: it is about G as it is stored.
"""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

from lipscope.bounds.convolution import absolute_bound
from lipscope.bounds.matrix import length_bound
from lipscope.bounds.rounding import Arithmetic, outward
from lipscope.layers.contract import UNBOUNDED, Rounding
from lipscope.layers.potential_step import step_bound, step_rounding
from lipscope.layers.reshape import pad_channels, pixel_unshuffle
from lipscope.layers.roundings import affine_rounding
from lipscope.layers.scaled import ScaledConv2d
from lipscope.records import Bound, Shape


class PotentialConv2d(ScaledConv2d):
    """The step on C = max(in stride^2, out) channels: those of the unshuffled image and zeros; the first are kept.

    Args:
        in_channels, out_channels: as of any convolution.
        kernel_size: of G, odd.
        stride: 1 or 2, by pixel-unshuffle.
        side: height and width of the input, for which a frozen kernel is scaled to be proved.
    """

    family: str
    """The family's name for a person."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, side: int) -> None:
        self.channels = max(in_channels * stride**2, out_channels)
        shape = (self.channels, self.channels, kernel_size, kernel_size)
        kind = f"{self.family} {kernel_size}x{kernel_size}"
        super().__init__(kind, in_channels, out_channels, stride, shape, side, self.channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H / stride, W / stride)."""
        x = pad_channels(pixel_unshuffle(x, self.stride), self.channels)
        kernel = self.effective_kernel().to(x.dtype)
        padding = kernel.shape[-1] // 2
        slope = F.conv2d(x, kernel, self.bias.to(x.dtype), padding=padding).relu()
        step = F.conv_transpose2d(slope, kernel[:, : self.out_channels], padding=padding)
        return x[:, : self.out_channels] - 2 * step

    def bound(self, input_shape: Shape) -> Bound:
        """Max(1, 2 ||G||^2 - 1), with a proved ||G||."""
        return step_bound(Bound(self.kernel_norm(input_shape), "frequencies"))

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """As :func:`step_rounding`; none while it trains."""
        if self.scaling is not None:
            return UNBOUNDED
        _, height, width = self.output_shape(input_shape)
        places = height * width
        largest, absolute = self.kernel_norm(input_shape), absolute_bound(self.kernel)
        size, terms = self.channels * places, self.kernel[0].numel()
        inner = affine_rounding(largest, absolute, terms, self.bias, places, size, norm, arithmetic)
        back = affine_rounding(largest, absolute, terms, None, places, size, inner.norm, arithmetic)
        offset = outward(length_bound(self.bias) * math.sqrt(places))
        return step_rounding(Bound(largest, "frequencies"), inner, back, offset, size, norm, arithmetic)
