"""Layers made ready for many images: the same function, with what does not depend on the image done once."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipscope.bounds.rounding import FLOAT64, Arithmetic, outward
from lipscope.layers.contract import LipschitzLayer, Rounding
from lipscope.layers.frequency_series import FrequencySeries
from lipscope.layers.orthogonal import OrthogonalConv2d
from lipscope.layers.reshape import pixel_unshuffle
from lipscope.records import Bound, Shape

LARGEST_MATRIX = 2**26
"""Numbers in a matrix that is formed: half a gigabyte."""


class Prepared(LipschitzLayer):
    """An orthogonal convolution whose linear part is evaluated by another module.

    Args:
        source: the layer. Its proofs are this one's: its ``rounding`` is a bound for every way of evaluation.
        series: from the unshuffled images and the number of output channels to the result without bias, where it takes
            them; the source evaluates whatever it does not take.
    """

    def __init__(self, source: OrthogonalConv2d, series: FrequencySeries | FormedMatrix) -> None:
        super().__init__()
        self.source, self.series = source, series
        self.kind, self.gradient_norm_preserving = source.kind, source.gradient_norm_preserving

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H / stride, W / stride)."""
        if not self.series.takes(x):
            evaluated: Tensor = self.source(x)
            return evaluated
        result: Tensor = self.series(pixel_unshuffle(x, self.source.stride), self.source.out_channels)
        return result + self.source.bias.to(x.dtype).reshape(-1, 1, 1)

    def bound(self, input_shape: Shape) -> Bound:
        """That of the source."""
        return self.source.bound(input_shape)

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """That of the source."""
        return self.source.rounding(input_shape, norm, arithmetic)

    def output_shape(self, input_shape: Shape) -> Shape:
        """That of the source."""
        return self.source.output_shape(input_shape)


class FormedMatrix(nn.Module):
    """The product with one matrix, in place of a series; in float64, and in float32 by the rounded matrix.

    Args:
        matrix: (outputs H W, at least in H W) float64; columns beyond the images' are for channels of zeros.
        inputs: (in, H, W) of the unshuffled images.
    """

    in_float64: Tensor
    in_float32: Tensor

    def __init__(self, matrix: Tensor, inputs: Shape) -> None:
        super().__init__()
        self.sizes = tuple(inputs[1:])
        kept = matrix[:, : math.prod(inputs)].contiguous()
        self.register_buffer("in_float64", kept, persistent=False)
        self.register_buffer("in_float32", kept.to(torch.float32), persistent=False)

    def takes(self, x: Tensor) -> bool:
        """float64 and float32, with gradients or without; under autocast the layer decides for itself."""
        return x.dtype in (torch.float64, torch.float32) and not torch.is_autocast_enabled(x.device.type)

    def forward(self, x: Tensor, outputs: int) -> Tensor:
        """(N, in, H, W) to (N, outputs, H, W)."""
        matrix = self.in_float64 if x.dtype == torch.float64 else self.in_float32
        return F.linear(x.flatten(1), matrix).reshape(len(x), outputs, *self.sizes)


def formed_rounding(shape: tuple[int, int], row: float, lipschitz: float, norm: float, arithmetic: Arithmetic) -> float:
    """A bound on the error of a product with a formed matrix M^, for all x with ||x||_2 <= norm.

    ||M^ - M||_2 <= d = sqrt(rows) times the error of a row, and || |M^| ||_2 <= sqrt(smaller side) (L + d), as for
    every matrix, because || |M| ||_2 <= ||M||_F. Another arithmetic than float64 rounds M^ first: d grows by as much.

    Args:
        shape: of M.
        row: a bound on the l2 norm of the error of a row, in float64.
        lipschitz: a proved bound on ||M||_2.
    """
    off = outward(math.sqrt(shape[0]) * row)
    absolute = outward(math.sqrt(min(shape)) * (lipschitz + off))
    if arithmetic != FLOAT64:
        moved = outward(arithmetic.unit_roundoff * absolute + arithmetic.smallest * math.sqrt(math.prod(shape)))
        off, absolute = off + moved, absolute + moved
    return outward(arithmetic.products(shape[1], absolute, norm, shape[0]) + off * norm)
