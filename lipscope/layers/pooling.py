"""Pooling: mean, maximum or Euclidean norm of each window, with the bounds of :mod:`lipscope.bounds.pooling`."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from lipscope.bounds.pooling import average_pool_bound, l2_pool_bound, max_pool_bound
from lipscope.bounds.rounding import Arithmetic, outward, up
from lipscope.layers.contract import LinearLayer, LipschitzLayer, Rounding
from lipscope.layers.conv2d import window_places
from lipscope.layers.roundings import mean_rounding
from lipscope.records import Bound, Shape

Pair = tuple[int, int]


class AveragePool2d(LinearLayer):
    """``torch.nn.AvgPool2d``; zeros that pad the image count in the mean.

    Args:
        window, stride, padding: (vertical, horizontal).
    """

    gradient_norm_preserving = False

    def __init__(self, window: Pair, stride: Pair, padding: Pair = (0, 0)) -> None:
        super().__init__()
        _check(window, stride, padding)
        self.window, self.stride, self.padding = window, stride, padding
        self.kind = f"average pool {window[0]}x{window[1]}"

    def linear(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H', W')."""
        return F.avg_pool2d(x, self.window, self.stride, self.padding)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H', W')."""
        return self.linear(x)

    def bound(self, input_shape: Shape) -> Bound:
        """The norm of the means, up to rounding."""
        return average_pool_bound((input_shape[1], input_shape[2]), self.window, self.stride, self.padding)

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """Of a mean over the window."""
        outputs = math.prod(self.output_shape(input_shape))
        return mean_rounding(self.bound(input_shape).value, math.prod(self.window), outputs, norm, arithmetic)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C, H', W')."""
        return _pooled(input_shape, self.window, self.stride, self.padding)


class GlobalAveragePool(LinearLayer):
    """The mean of each channel over the whole image, as (N, C, 1, 1)."""

    kind = "global average pool"
    gradient_norm_preserving = False

    def linear(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, 1, 1)."""
        return x.mean(dim=(2, 3), keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, 1, 1)."""
        return self.linear(x)

    def bound(self, input_shape: Shape) -> Bound:
        """1 / sqrt(H W)."""
        return Bound(up(1 / math.sqrt(math.prod(input_shape[1:])), 3), "1 / sqrt(pixels)")

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """Of a mean over the whole image."""
        return mean_rounding(
            self.bound(input_shape).value, math.prod(input_shape[1:]), input_shape[0], norm, arithmetic
        )

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C, 1, 1)."""
        if len(input_shape) != 3:
            raise ValueError(f"expects an image, got shape {input_shape}")
        return (input_shape[0], 1, 1)


class MaxPool2d(LipschitzLayer):
    """``torch.nn.MaxPool2d``.

    Args:
        window, stride, padding: (vertical, horizontal).
    """

    gradient_norm_preserving = False

    def __init__(self, window: Pair, stride: Pair, padding: Pair = (0, 0)) -> None:
        super().__init__()
        _check(window, stride, padding)
        self.window, self.stride, self.padding = window, stride, padding
        self.kind = f"max pool {window[0]}x{window[1]}"
        # Where no two windows share a pixel each output passes its gradient to a pixel of its own.
        self.gradient_norm_preserving = windows_over_a_pixel(window, stride) == 1

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H', W')."""
        return F.max_pool2d(x, self.window, self.stride, self.padding)

    def bound(self, input_shape: Shape) -> Bound:
        """sqrt(windows over a pixel); exactly 1 where none overlap."""
        return max_pool_bound((input_shape[1], input_shape[2]), self.window, self.stride, self.padding)

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """Numbers are chosen, not computed."""
        return Rounding(0.0, arithmetic.held(outward(self.bound(input_shape).value * norm)))

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C, H', W')."""
        return _pooled(input_shape, self.window, self.stride, self.padding)


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


def _pooled(input_shape: Shape, window: Pair, stride: Pair, padding: Pair) -> Shape:
    if len(input_shape) != 3:
        raise ValueError(f"expects an image, got shape {input_shape}")
    return (input_shape[0], *window_places(input_shape[1:], window, stride, padding))
