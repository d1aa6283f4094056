"""What the families of convolutions share: shapes and bias; rounding if they are linear, the claim if orthogonal."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lipscope.bounds.matrix import length_bound
from lipscope.bounds.rounding import Arithmetic, outward
from lipscope.layers.contract import LinearLayer, LipschitzLayer, Rounding, Trainable
from lipscope.records import Bound, Shape


class FamilyConv2d(LipschitzLayer, Trainable):
    """A layer of a family of convolutions: images in, images out, smaller by the stride.

    ``kernel`` and ``bias`` hold the plain numbers that a checkpoint stores and evaluation uses.

    Args:
        kind: what the layer is, e.g. ``"SOC 3x3"``; the stride is added.
        in_channels, out_channels: as of any convolution.
        stride: 1 or 2.
        kernel_shape: of the stored kernel.
        biases: numbers in the bias; as many as there are output channels where not given.
    """

    gradient_norm_preserving = False

    def __init__(
        self,
        kind: str,
        in_channels: int,
        out_channels: int,
        stride: int,
        kernel_shape: tuple[int, int, int, int],
        biases: int | None = None,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.stride = in_channels, out_channels, stride
        self.kernel = nn.Parameter(torch.zeros(kernel_shape))
        self.bias = nn.Parameter(torch.zeros(out_channels if biases is None else biases))
        self.kind = kind + (f", stride {stride}" if stride > 1 else "")

    def output_shape(self, input_shape: Shape) -> Shape:
        """(out, H / stride, W / stride)."""
        channels, height, width = input_shape
        if channels != self.in_channels or height % self.stride or width % self.stride:
            raise ValueError(f"expects {self.in_channels} channels and sides divisible by {self.stride}: {input_shape}")
        return self.out_channels, height // self.stride, width // self.stride


class LinearConv2d(FamilyConv2d, LinearLayer):
    """A family's layer that is affine."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H / stride, W / stride)."""
        result = self.linear(x)
        return result + self.bias.to(result.dtype).reshape(-1, 1, 1)

    def linear_rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> float:
        """A proved bound on ||fl(linear)(x) - linear(x)||_2 for all x with ||x||_2 <= norm; ``inf`` if unproved."""
        return math.inf

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """The error of the linear part, whose norm is ``bound``, and one operation an output for the bias."""
        outputs = self.output_shape(input_shape)
        error = self.linear_rounding(input_shape, norm, arithmetic)
        before_bias = Rounding(error, outward(self.bound(input_shape).value * norm + error))
        offset = outward(length_bound(self.bias) * math.sqrt(math.prod(outputs[1:])))
        return before_bias.shifted(offset, math.prod(outputs), arithmetic)


class OrthogonalConv2d(LinearConv2d):
    """A convolution with J J^T = I up to rounding.

    Args:
        kind, in_channels, out_channels, stride, kernel_shape: as of :class:`FamilyConv2d`.
    """

    def __init__(
        self, kind: str, in_channels: int, out_channels: int, stride: int, kernel_shape: tuple[int, int, int, int]
    ) -> None:
        super().__init__(kind, in_channels, out_channels, stride, kernel_shape)
        # With more outputs than inputs the outputs fill only a subspace, and J^T drops what lies outside it.
        self.gradient_norm_preserving = out_channels <= in_channels * stride**2

    def singular_value_floor(self, input_shape: Shape) -> Bound:
        """A proved lower bound on every singular value over the layer's smaller side, where the family has one."""
        return Bound.unproved(f"{self.kind} has no proved lower bound")


def non_expansive(kernel: Tensor, bound: Callable[[Tensor], float]) -> Tensor:
    """The float32 kernel nearest to a multiple of this one, scaled down until its proved bound is at most 1.

    Rounding to float32 moves singular values by about 1e-7, above 1 too; after this the file proves itself.

    Args:
        kernel: float64.
        bound: a proved bound on the norm of the convolution with a float32 kernel.
    """
    scale, margin = 1.0, 2.0**-34
    while True:
        stored = (kernel * scale).to(torch.float32)
        norm = bound(stored)
        if norm <= 1.0 or not math.isfinite(norm):
            return stored
        scale /= norm * (1 + margin)
        margin *= 2


@dataclass(frozen=True)
class Family:
    """A family of convolutions, as :data:`lipscope.layers.convolutions.CONVOLUTIONS` names it.

    Args:
        title: its name for a person.
        build: (in_channels, out_channels, kernel_size 1 or 3, stride 1 or 2, side, terms) to one of its layers, with
            zero weights, for inputs (N, in_channels, side, side); terms is the highest power of a series in eval mode,
            for families that sum one.
        head: the family of an orthogonal head on such a net, where this one is not orthogonal; itself where empty.
    """

    title: str
    build: Callable[[int, int, int, int, int, int], FamilyConv2d]
    head: str = ""


def without_series(
    layer: Callable[[int, int, int, int, int], FamilyConv2d],
) -> Callable[[int, int, int, int, int, int], FamilyConv2d]:
    """How to build a layer that sums no series."""
    return lambda inputs, outputs, k, stride, side, _terms: layer(inputs, outputs, k, stride, side)
