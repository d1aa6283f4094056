"""Zero-padded convolutions whose free kernel is scaled: what AOL, LiResNet, CPL and SLL share.

While training a kernel stands for a multiple of itself (or of its channels) that does not expand, up to an estimate;
what is stored is scaled again until its norm is proved to be at most 1, so that no formula has to be trusted.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipscope.bounds.convolution import absolute_bound, zero_padded_bound
from lipscope.bounds.rounding import Arithmetic
from lipscope.layers.orthogonal import FamilyConv2d, LinearConv2d, non_expansive
from lipscope.layers.pointwise import nearest_orthogonal
from lipscope.layers.reshape import pixel_unshuffle
from lipscope.records import Bound, Shape

FIRST_STEPS, STEPS = 50, 4
"""Of the power iteration before the first training step and in each."""

FIRST_LENGTH = 4.0
"""Of the columns of the first free kernels of linear layers: what stands for a multiple of itself turns the more slowly
the longer it is, and with this length learning rates suit that suit the other families."""


class ScaledConv2d(FamilyConv2d):
    """A layer of a kernel that is scaled while it is trained.

    Args:
        kind, in_channels, out_channels, stride, kernel_shape, biases: as of :class:`FamilyConv2d`.
        side: height and width of the input, for which a frozen kernel is scaled to be proved.
    """

    def __init__(
        self,
        kind: str,
        in_channels: int,
        out_channels: int,
        stride: int,
        kernel_shape: tuple[int, int, int, int],
        side: int,
        biases: int | None = None,
    ) -> None:
        super().__init__(kind, in_channels, out_channels, stride, kernel_shape, biases)
        self.side = side // stride
        self.scaling: nn.Module | None = None

    @abstractmethod
    def new_scaling(self, generator: torch.Generator | None) -> nn.Module:
        """The free kernel to the kernel that it stands for, in float32 and in float64."""

    def make_trainable(self, generator: torch.Generator | None = None) -> None:
        """Start from normal numbers of variance 1 / inputs; the kernel in use is their scaling."""
        with torch.no_grad():
            self.kernel.normal_(std=self.kernel[0].numel() ** -0.5, generator=generator)
        self.scaling = self.new_scaling(generator).to(self.kernel.device)

    @torch.no_grad()
    def freeze(self) -> None:
        """Store the scaled kernel, rounded so that its proved norm is at most 1."""
        if self.scaling is not None:
            scaled = self.scaling.cpu().double().eval()(self.kernel.detach().cpu().double())
            self.kernel.copy_(non_expansive(scaled, lambda stored: zero_padded_bound(stored, self.side, self.side)))
            self.scaling = None

    def effective_kernel(self) -> Tensor:
        """The stored kernel, or while training the one that the free kernel stands for, in float32."""
        if self.scaling is None:
            return self.kernel
        with torch.autocast(self.kernel.device.type, enabled=False):
            kernel: Tensor = self.scaling(self.kernel)
            return kernel

    def kernel_norm(self, input_shape: Shape) -> float:
        """A proved bound on the norm of the convolution on maps of this input."""
        _, height, width = self.output_shape(input_shape)
        return zero_padded_bound(self.effective_kernel().detach(), height, width)


class ScaledLinearConv2d(ScaledConv2d, LinearConv2d):
    """x -> K x + b after the pixel-unshuffle, with zero padding.

    Args:
        in_channels, out_channels: as of any convolution.
        kernel_size: odd.
        stride: 1 or 2.
        side: height and width of the input, for which a frozen kernel is scaled to be proved.
    """

    family: str
    """The family's name for a person."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, side: int) -> None:
        kind = f"{self.family} {kernel_size}x{kernel_size}"
        shape = (out_channels, in_channels * stride**2, kernel_size, kernel_size)
        super().__init__(kind, in_channels, out_channels, stride, shape, side)

    def make_trainable(self, generator: torch.Generator | None = None) -> None:
        """Start from an orthogonal matrix in the middle tap: kernels of normal numbers, scaled, make images vanish."""
        outputs, inputs, size, _ = self.kernel.shape
        draw = torch.randn(outputs, inputs, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            self.kernel.zero_()
            self.kernel[:, :, size // 2, size // 2] = FIRST_LENGTH * nearest_orthogonal(draw)
        self.scaling = self.new_scaling(generator).to(self.kernel.device)

    def linear(self, x: Tensor) -> Tensor:
        """The convolution."""
        kernel = self.effective_kernel()
        return F.conv2d(pixel_unshuffle(x, self.stride), kernel.to(x.dtype), padding=kernel.shape[-1] // 2)

    def bound(self, input_shape: Shape) -> Bound:
        """The norm on a larger circular grid, of which zero padding is a part: nothing of the scaling is trusted."""
        return Bound(self.kernel_norm(input_shape), "frequencies of the circular grid that contains it")

    def linear_rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> float:
        """That of one sum of in k^2 products an output; nothing is claimed while the kernel is computed, too."""
        if self.scaling is not None:
            return math.inf
        outputs = math.prod(self.output_shape(input_shape))
        return arithmetic.products(self.kernel[0].numel(), absolute_bound(self.kernel), norm, outputs)


class OverNorm(nn.Module):
    """K -> K / ||K||, the norm being that of the circular convolution that contains the zero-padded one.

    In training a power iteration estimates the norm from below; a kernel in float64 is divided by its proved bound.

    Args:
        kernel: the first free one, (out, in, k, k).
        side: of the map.
        generator: of the first direction.
    """

    direction: Tensor

    def __init__(self, kernel: Tensor, side: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.side = side
        grid = side + kernel.shape[-1] - 1
        self.register_buffer("direction", torch.randn(1, kernel.shape[1], grid, grid, generator=generator))
        self.turn(kernel.detach().cpu(), FIRST_STEPS)

    @torch.no_grad()
    def turn(self, kernel: Tensor, steps: int) -> None:
        """Steps of the power iteration, v <- K^T K v at unit length; K^T has the flipped kernel."""
        for _ in range(steps):
            found = _circular(_circular(self.direction, kernel), kernel.transpose(0, 1).flip(2, 3))
            self.direction.copy_(found / torch.linalg.vector_norm(found))

    def forward(self, kernel: Tensor) -> Tensor:
        """The kernel in use."""
        if kernel.dtype == torch.float64:
            return kernel / zero_padded_bound(kernel, self.side, self.side)
        if self.training:
            self.turn(kernel, STEPS)
        return torch.div(kernel, torch.linalg.vector_norm(_circular(self.direction.clone(), kernel)))


def _circular(x: Tensor, kernel: Tensor) -> Tensor:
    """The circular convolution with the kernel in the middle of its taps."""
    return F.conv2d(F.pad(x, (kernel.shape[-1] // 2,) * 4, mode="circular"), kernel)


def overlaps(kernel: Tensor) -> Tensor:
    """(channels, channels) the sums over all offsets of |(K * K^T)_ij|, i and j being output channels.

    Args:
        kernel: (out, in, k, k).
    """
    found: Tensor = F.conv2d(kernel, kernel, padding=kernel.shape[-1] - 1).abs().sum(dim=(2, 3))
    return found
