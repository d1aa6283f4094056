"""Pooling: mean, maximum or Euclidean norm of each window, with the bounds of :mod:`lipscope.bounds.pooling`."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from lipscope.bounds.pooling import (
    adaptive_average_pool_bound,
    adaptive_max_pool_bound,
    average_pool_bound,
    l2_pool_bound,
    max_pool_bound,
    starts,
)
from lipscope.bounds.rounding import Arithmetic, outward, up
from lipscope.layers.contract import LinearLayer, LipschitzLayer, Rounding
from lipscope.layers.conv2d import window_places
from lipscope.layers.roundings import mean_rounding
from lipscope.records import Bound, Shape

Pair = tuple[int, int]


class Means(LinearLayer):
    """Means over windows of pixels."""

    gradient_norm_preserving = False

    def largest_window(self, input_shape: Shape) -> int:
        """How many numbers a mean is taken of, at most."""
        return math.prod(input_shape[1:])

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """A sum and a division for each output."""
        outputs, window = math.prod(self.output_shape(input_shape)), self.largest_window(input_shape)
        return mean_rounding(self.bound(input_shape).value, window, outputs, norm, arithmetic)


class AveragePool2d(Means):
    """``torch.nn.AvgPool2d``.

    Args:
        window, stride, padding: (vertical, horizontal).
        ceil_mode: whether a window may reach beyond the end.
        count_padding: whether zeros that pad the image count in the mean.
        divisor: what sums are divided by, instead of the numbers in a window.
    """

    gradient_norm_preserving = False

    def __init__(
        self,
        window: Pair,
        stride: Pair,
        padding: Pair = (0, 0),
        *,
        ceil_mode: bool = False,
        count_padding: bool = True,
        divisor: int | None = None,
    ) -> None:
        super().__init__()
        _check(window, stride, padding)
        if divisor is not None and divisor < 1:
            raise ValueError(f"the divisor must be at least 1, got {divisor}")
        self.window, self.stride, self.padding = window, stride, padding
        self.ceil_mode, self.count_padding, self.divisor = ceil_mode, count_padding, divisor
        self.kind = f"average pool {window[0]}x{window[1]}"

    def linear(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H', W')."""
        return F.avg_pool2d(x, self.window, self.stride, self.padding, self.ceil_mode, self.count_padding, self.divisor)

    def bound(self, input_shape: Shape) -> Bound:
        """The norm of the means, up to rounding."""
        return average_pool_bound(
            (input_shape[1], input_shape[2]), self.window, self.stride, self.padding,
            ceil_mode=self.ceil_mode, count_include_pad=self.count_padding, divisor=self.divisor,
        )  # fmt: skip

    def largest_window(self, input_shape: Shape) -> int:
        """Those of the window."""
        return math.prod(self.window)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C, H', W')."""
        return _pooled(input_shape, self.window, self.stride, self.padding, self.ceil_mode)


class GlobalAveragePool(Means):
    """The mean of each channel over the whole image, as (N, C, 1, 1)."""

    kind = "global average pool"
    gradient_norm_preserving = False

    def linear(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, 1, 1)."""
        return x.mean(dim=(2, 3), keepdim=True)

    def bound(self, input_shape: Shape) -> Bound:
        """1 / sqrt(H W)."""
        return Bound(up(1 / math.sqrt(math.prod(input_shape[1:])), 3), "1 / sqrt(pixels)")

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C, 1, 1)."""
        return (_image(input_shape)[0], 1, 1)


class AdaptivePool2d(LipschitzLayer):
    """Windows of about equal size that cover the image.

    Args:
        size: (height, width) of the result.
    """

    gradient_norm_preserving = False
    word: str

    def __init__(self, size: Pair) -> None:
        super().__init__()
        if min(size) < 1:
            raise ValueError(f"no pooling makes {size}")
        self.size = size
        self.kind = f"adaptive {self.word} pool to {size[0]}x{size[1]}"

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C, *size)."""
        return (_image(input_shape)[0], *self.size)


class AdaptiveAveragePool2d(AdaptivePool2d, Means):
    """``torch.nn.AdaptiveAvgPool2d``."""

    word = "average"

    def linear(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, *size)."""
        return F.adaptive_avg_pool2d(x, self.size)

    def bound(self, input_shape: Shape) -> Bound:
        """The norm of the means, up to rounding."""
        return adaptive_average_pool_bound((input_shape[1], input_shape[2]), self.size)


class AdaptiveMaxPool2d(AdaptivePool2d):
    """``torch.nn.AdaptiveMaxPool2d``."""

    word = "max"

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, *size)."""
        return F.adaptive_max_pool2d(x, self.size)

    def bound(self, input_shape: Shape) -> Bound:
        """sqrt(windows over a pixel); exactly 1 where none overlap."""
        return adaptive_max_pool_bound((input_shape[1], input_shape[2]), self.size)

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """Numbers are compared, not computed."""
        return Rounding(0.0, arithmetic.held(outward(self.bound(input_shape).value * norm)))


class MaxPool2d(LipschitzLayer):
    """``torch.nn.MaxPool2d``.

    Args:
        window, stride, padding, dilation: (vertical, horizontal).
        ceil_mode: whether a window may reach beyond the end.
    """

    gradient_norm_preserving = False

    def __init__(
        self,
        window: Pair,
        stride: Pair,
        padding: Pair = (0, 0),
        *,
        dilation: Pair = (1, 1),
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        _check(window, stride, padding)
        self.window, self.stride, self.padding = window, stride, padding
        self.dilation, self.ceil_mode = dilation, ceil_mode
        self.kind = f"max pool {window[0]}x{window[1]}"
        # Where no two windows share a pixel each output passes its gradient to a pixel of its own.
        self.gradient_norm_preserving = windows_over_a_pixel(self._extent, stride) == 1

    @property
    def _extent(self) -> Pair:
        height, width = (d * (k - 1) + 1 for d, k in zip(self.dilation, self.window, strict=True))
        return height, width

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H', W')."""
        return F.max_pool2d(x, self.window, self.stride, self.padding, self.dilation, self.ceil_mode)

    def bound(self, input_shape: Shape) -> Bound:
        """sqrt(windows over a pixel); exactly 1 where none overlap."""
        return max_pool_bound(
            (input_shape[1], input_shape[2]), self.window, self.stride, self.padding, self.dilation,
            ceil_mode=self.ceil_mode,
        )  # fmt: skip

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """Numbers are compared, not computed."""
        return Rounding(0.0, arithmetic.held(outward(self.bound(input_shape).value * norm)))

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C, H', W').

        Raises:
            ValueError: it does not fit, or a window holds no pixel, whose maximum is infinite.
        """
        pooled = _pooled(input_shape, self._extent, self.stride, self.padding, self.ceil_mode)
        axes = zip(input_shape[1:], self._extent, self.stride, self.padding, self.dilation, strict=True)
        for n, extent, stride, pad, step in axes:
            for start in starts(n, extent, stride, pad, ceil_mode=self.ceil_mode):
                if not any(0 <= place < n for place in range(start, start + extent, step)):
                    raise ValueError("a window holds no pixel")
        return pooled


class L2Pool2d(LipschitzLayer):
    """The Euclidean norm of each window: ``torch.nn.LPPool2d`` with norm 2, and the gradient 0 where a window is 0.

    Args:
        window, stride: (vertical, horizontal).
    """

    gradient_norm_preserving = False

    def __init__(self, window: Pair, stride: Pair) -> None:
        super().__init__()
        _check(window, stride, (0, 0))
        self.window, self.stride = window, stride
        self.kind = f"l2 pool {window[0]}x{window[1]}"
        # Where no two windows share a pixel the rows of the Jacobian, x_W / ||x_W||, are orthonormal.
        self.gradient_norm_preserving = windows_over_a_pixel(window, stride) == 1

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H', W')."""
        windows = x.unfold(2, self.window[0], self.stride[0]).unfold(3, self.window[1], self.stride[1])
        norms: Tensor = torch.linalg.vector_norm(windows, dim=(-2, -1))
        return norms

    def bound(self, input_shape: Shape) -> Bound:
        """sqrt(windows over a pixel); exactly 1 where none overlap."""
        return l2_pool_bound((input_shape[1], input_shape[2]), self.window, self.stride)

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """A root of a sum of k squares: gamma_(k+2) of it, and the root of what underflows in the squares."""
        terms, outputs = math.prod(self.window), math.sqrt(math.prod(self.output_shape(input_shape)))
        length = outward(self.bound(input_shape).value * norm)
        lost = math.sqrt(4 * terms * arithmetic.smallest) * outputs
        # A flushed pixel is lost from the windows that hold it.
        flushed = 2 * arithmetic.smallest * outputs * (terms + 1)
        error = arithmetic.held(outward(arithmetic.gamma(terms + 2) * length + lost + flushed), outward(norm * norm))
        return Rounding(error, arithmetic.held(outward(length + error)))

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C, H', W')."""
        return _pooled(input_shape, self.window, self.stride, (0, 0))


def windows_over_a_pixel(window: Pair, stride: Pair) -> int:
    """The largest number of windows that a pixel lies in.

    >>> windows_over_a_pixel((3, 3), (2, 2)), windows_over_a_pixel((2, 2), (2, 2))
    (4, 1)
    """
    return math.prod(-(-k // s) for k, s in zip(window, stride, strict=True))


def _check(window: Pair, stride: Pair, padding: Pair) -> None:
    if min(*window, *stride) < 1 or any(p < 0 or 2 * p > k for p, k in zip(padding, window, strict=True)):
        raise ValueError(f"no pooling has window {window}, stride {stride} and padding {padding}")


def _image(input_shape: Shape) -> Shape:
    if len(input_shape) != 3:
        raise ValueError(f"expects an image, got shape {input_shape}")
    return input_shape


def _pooled(input_shape: Shape, window: Pair, stride: Pair, padding: Pair, ceil_mode: bool = False) -> Shape:
    channels, *size = _image(input_shape)
    if not ceil_mode:
        return (channels, *window_places((size[0], size[1]), window, stride, padding))
    return (
        channels,
        *(len(starts(n, k, s, p, ceil_mode=True)) for n, k, s, p in zip(size, window, stride, padding, strict=True)),
    )
