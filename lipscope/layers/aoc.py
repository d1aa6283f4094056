"""Adaptive orthogonal convolution (Boissin et al., *An Adaptive Orthogonal Convolution Scheme*, ICML 2025).

A block convolution (:mod:`lipscope.layers.bcop`) of k - s + 1 taps followed by an orthogonal matrix on patches of s x s
is one k x k kernel with a true stride of s: nothing is unshuffled. Groups and dilation cost nothing either. Padding is
circular, and only the kernel is stored: the proof is its norm as it is used.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipscope.bounds.axes import polyphase
from lipscope.bounds.convolution import absolute_bound
from lipscope.bounds.orthogonality import circular_floor
from lipscope.bounds.rounding import Arithmetic
from lipscope.bounds.strided import convolution_bound, dilated
from lipscope.layers.bcop import BCOPKernel
from lipscope.layers.orthogonal import Family, OrthogonalConv2d, non_expansive, without_series
from lipscope.layers.padding import padded
from lipscope.layers.stiefel import OrthonormalColumns
from lipscope.records import Bound, Shape


class AOCConv2d(OrthogonalConv2d):
    """Strided circular convolution with an orthogonal kernel (out, in / groups, k, k), k >= stride.

    Args:
        in_channels, out_channels: as of any convolution.
        kernel_size: raised to the stride, below which no kernel is orthogonal.
        stride: s.
        side: height and width of the input that the stored kernel is scaled for; others are taken too.
        groups: they divide both numbers of channels.
        dilation: between taps; with a stride the kernel is not orthogonal, and none is taken.

    Raises:
        ValueError: stride and dilation together, or groups that do not divide the channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        side: int,
        groups: int = 1,
        dilation: int = 1,
    ) -> None:
        if (stride > 1 and dilation > 1) or in_channels % groups or out_channels % groups:
            raise ValueError(f"no orthogonal kernel of stride {stride}, dilation {dilation}, {groups} groups")
        size = max(kernel_size, stride)
        kind = f"AOC {size}x{size}" + f", {groups} groups" * (groups > 1) + f", dilation {dilation}" * (dilation > 1)
        super().__init__(kind, in_channels, out_channels, stride, (out_channels, in_channels // groups, size, size))
        self.taps, self.side, self.groups, self.dilation = size, side, groups, dilation
        self.parametrization: nn.ModuleList | None = None

    def make_trainable(self, generator: torch.Generator | None = None) -> None:
        """Random orthonormal matrices behind every group's kernel."""
        outputs, inputs, size, _ = self.kernel.shape
        count = outputs // self.groups
        groups = [AOCKernel(inputs, count, size, self.stride, generator) for _ in range(self.groups)]
        self.parametrization = nn.ModuleList(groups).to(self.kernel.device)
        self.register_parameter("kernel", None)

    @torch.no_grad()
    def freeze(self) -> None:
        """Store the kernel, computed in float64 and scaled so that its proved bound is at most 1."""
        if self.parametrization is not None:
            exact = torch.cat([group.exact() for group in self.parametrization if isinstance(group, AOCKernel)])
            self.kernel = nn.Parameter(non_expansive(exact, lambda stored: self._bound(stored, (self.side,) * 2).value))
            self.parametrization = None

    def effective_kernel(self) -> Tensor:
        """The stored kernel, or while training the one that its matrices stand for."""
        groups = self.parametrization
        return self.kernel if groups is None else torch.cat([group() for group in groups])

    def linear(self, x: Tensor) -> Tensor:
        """The convolution of the image, padded so that it has as many outputs as strides."""
        kernel = self.effective_kernel()
        x = padded(x, (self._sides,) * 2, "circular").contiguous(memory_format=torch.channels_last)
        return F.conv2d(x, kernel.to(x.dtype), stride=self.stride, dilation=self.dilation, groups=self.groups)

    def bound(self, input_shape: Shape) -> Bound:
        """The norm of the convolution as it is used, which frequencies give exactly."""
        self.output_shape(input_shape)
        return self._bound(self.effective_kernel().detach(), input_shape[1:])

    def singular_value_floor(self, input_shape: Shape) -> Bound:
        """A proved lower bound on the singular values, from the symbols of every group's phases."""
        _, height, width = self.output_shape(input_shape)
        floor = min(circular_floor(phases, height, width) for phases in self._phases())
        if floor == 0.0:
            return Bound.unproved("the symbols are far from orthogonal")
        return Bound(floor, "||S S* - I|| at every frequency, by Cholesky", direction="lower")

    def circular_kernel(self, input_shape: Shape) -> Tensor | None:
        """The phases of a kernel in one group."""
        return self._phases()[0] if self.groups == 1 else None

    def linear_rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> float:
        """That of one sum of products an output."""
        kernel = self.effective_kernel().detach()
        outputs = math.prod(self.output_shape(input_shape))
        absolute = max(absolute_bound(part) for part in kernel.chunk(self.groups))
        return arithmetic.products(kernel[0].numel(), absolute, norm, outputs)

    @property
    def _sides(self) -> tuple[int, int]:
        missing = self.dilation * (self.taps - 1) + 1 - self.stride
        return missing - missing // 2, missing // 2

    def _phases(self) -> list[Tensor]:
        """The kernel of each group on the phases of the image by the stride."""
        spread = dilated(self.effective_kernel().detach(), (self.dilation,) * 2)
        return [polyphase(part, (self.stride,) * 2) for part in spread.chunk(self.groups)]

    def _bound(self, kernel: Tensor, size: tuple[int, ...]) -> Bound:
        return convolution_bound(
            kernel, (size[0], size[1]), self.stride, (self._sides,) * 2, "circular", self.groups, self.dilation
        )


class AOCKernel(nn.Module):
    """The training parametrisation of one group: a block convolution into M channels, then a matrix on patches.

    M = max(in, out / s^2), so that both have orthonormal rows where the whole has, and columns where it has these.

    Args:
        inputs, outputs: channels of the kernel.
        kernel_size: k.
        stride: s <= k.
        generator: of the initial values.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel_size: int, stride: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.outputs, self.stride = outputs, stride
        self.middle = max(inputs, outputs // stride**2) if stride > 1 else outputs
        self.blocks = BCOPKernel(inputs, self.middle, kernel_size - stride + 1, generator)
        patch = self.middle * stride**2
        larger, smaller = max(patch, outputs), min(patch, outputs)
        # Without a stride the block convolution has a matrix of its own.
        self.patches = OrthonormalColumns(1, larger, smaller, generator) if stride > 1 else None

    def forward(self) -> Tensor:
        """(outputs, inputs, k, k) in float32."""
        with torch.autocast(self.blocks.isometry.free.device.type, enabled=False):
            return self._joined(self.blocks(), self.patches() if self.patches is not None else None)

    def exact(self) -> Tensor:
        """The same in float64."""
        return self._joined(self.blocks.exact(), self.patches.exact() if self.patches is not None else None)

    def _joined(self, blocks: Tensor, columns: Tensor | None) -> Tensor:
        """K[o, i, c] = sum over m and a + b = c of P[o, m, a] B[m, i, b]."""
        if columns is None:
            return blocks
        matrix = columns[0].mT if columns.shape[1] == self.middle * self.stride**2 else columns[0]
        patches = matrix.reshape(self.outputs, self.middle, self.stride, self.stride)
        return F.conv2d(blocks.transpose(0, 1), patches.flip(2, 3), padding=self.stride - 1).transpose(0, 1)


AOC = Family("AOC", without_series(AOCConv2d))
