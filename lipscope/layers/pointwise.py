"""Orthogonal matrices on patches of pixels: one matrix for every position, trained on the manifold itself.

A stride of s joins s x s pixels first, so that a stack of them is a hierarchy of patches. There is no parametrisation:
the free weight *is* the matrix, and :class:`lipscope.training.manifold.ManifoldDescent` keeps its rows or columns
orthonormal. What a step costs does not hang on a solve, as with a Cayley map.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipscope.bounds.convolution import absolute_bound
from lipscope.bounds.matrix import spectral_norm_bound
from lipscope.bounds.orthogonality import circular_floor
from lipscope.bounds.rounding import Arithmetic
from lipscope.layers.contract import Rounding
from lipscope.layers.orthogonal import OrthogonalConv2d, non_expansive
from lipscope.layers.roundings import affine_rounding
from lipscope.records import Bound, Shape


class PointwiseConv2d(OrthogonalConv2d):
    """x -> W x + b on every patch of stride x stride pixels, W with orthonormal rows or columns.

    Args:
        in_channels, out_channels: as of any convolution.
        stride: height and width of a patch.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(
            "orthogonal 1x1", in_channels, out_channels, stride, (out_channels, in_channels * stride**2, 1, 1)
        )
        self.training_on_manifold = False

    def make_trainable(self, generator: torch.Generator | None = None) -> None:
        """Start from a matrix drawn uniformly among those with orthonormal rows or columns."""
        outputs, inputs = self.kernel.shape[:2]
        draw = torch.randn(outputs, inputs, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            self.kernel.copy_(nearest_orthogonal(draw)[:, :, None, None])
        self.training_on_manifold = True

    @torch.no_grad()
    def freeze(self) -> None:
        """Store the nearest orthogonal matrix, rounded so that its proved norm is at most 1."""
        if self.training_on_manifold:
            self.kernel = nn.Parameter(self.stored_kernel().to(self.kernel.device))
            self.training_on_manifold = False

    @torch.no_grad()
    def stored_kernel(self) -> Tensor:
        """(out, in stride^2, 1, 1): the stored kernel, or the one that training would store now."""
        kernel = self.kernel.detach()
        if not self.training_on_manifold:
            return kernel
        matrix = nearest_orthogonal(kernel[:, :, 0, 0].cpu().double())
        return non_expansive(matrix, spectral_norm_bound)[:, :, None, None]

    def linear(self, x: Tensor) -> Tensor:
        """The product with every patch."""
        return self._products(x, None)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H / stride, W / stride)."""
        return self._products(x, self.bias.to(x.dtype))

    def _products(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """One matrix product for all patches of all images, pixels before channels.

        A convolution says the same and takes two to four times as long backward, as PyTorch has it on a CPU.
        """
        (count, channels, height, width), step = x.shape, self.stride
        kernel = self.kernel.reshape(self.out_channels, channels, step, step).permute(0, 2, 3, 1)
        pixels = x.permute(0, 2, 3, 1).reshape(count, height // step, step, width // step, step * channels)
        patches = pixels.transpose(2, 3).flatten(3)
        return F.linear(patches, kernel.flatten(1).to(x.dtype), bias).permute(0, 3, 1, 2)

    def bound(self, input_shape: Shape) -> Bound:
        """The norm of the stored matrix, whatever the training made of it.

        Raises:
            ValueError: the layer cannot take this shape.
        """
        self.output_shape(input_shape)
        return Bound(spectral_norm_bound(self.stored_kernel()[:, :, 0, 0]), "matrix norm by Cholesky")

    def singular_value_floor(self, input_shape: Shape) -> Bound:
        """A proved lower bound on the singular values of the stored matrix."""
        self.output_shape(input_shape)
        floor = circular_floor(self.stored_kernel(), 1, 1)
        if floor == 0.0:
            return Bound.unproved("the matrix is far from orthogonal")
        return Bound(floor, "||W W^T - I||, by Cholesky", direction="lower")

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """One sum of products and the bias for each output: libraries may start from the bias."""
        kernel, (outputs, *sizes) = self.stored_kernel(), self.output_shape(input_shape)
        lipschitz, places = self.bound(input_shape).value, math.prod(sizes)
        absolute, terms = absolute_bound(kernel), kernel.shape[1]
        return affine_rounding(lipschitz, absolute, terms, self.bias, places, outputs * places, norm, arithmetic)

    def circular_kernel(self, input_shape: Shape) -> Tensor:
        """The stored matrix as a kernel of one tap."""
        return self.stored_kernel()


def nearest_orthogonal(matrix: Tensor) -> Tensor:
    """U V^T of the singular value decomposition U S V^T: the nearest matrix with orthonormal rows or columns."""
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    nearest: Tensor = left @ right
    return nearest
