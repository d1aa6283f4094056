"""Almost orthogonal convolution (Prach & Lampert, *Almost-Orthogonal Layers*, ECCV 2022)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lipscope.layers.orthogonal import Family, without_series
from lipscope.layers.scaled import ScaledLinearConv2d, overlaps


class AOLConv2d(ScaledLinearConv2d):
    """x -> K D x + b with zero padding, D_c = (sum over d and offsets of |(K^T * K)_dc|)^(-1/2) on the input channels.

    ||K D|| <= 1 (theorem 2 of the paper). With fewer outputs than inputs the same is done to K^T: more of the norm is
    kept where there are fewer overlaps.

    Args:
        in_channels, out_channels: as of any convolution.
        kernel_size: odd.
        stride: 1 or 2.
        side: height and width of the input, for which a frozen kernel is scaled to be proved.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, side: int) -> None:
        shape = (out_channels, in_channels * stride**2, kernel_size, kernel_size)
        super().__init__(f"AOL {kernel_size}x{kernel_size}", in_channels, out_channels, stride, shape, side)

    def new_scaling(self, generator: torch.Generator | None) -> nn.Module:
        """The rescaling of the paper, which has no numbers of its own."""
        return Rescaled()


class Rescaled(nn.Module):
    """K -> K D, or D K."""

    def forward(self, kernel: Tensor) -> Tensor:
        """(out, in, k, k) to the same shape; a channel without weight stays without."""
        by_output = len(kernel) < kernel.shape[1]
        overlap = overlaps(kernel if by_output else kernel.transpose(0, 1)).sum(dim=1)
        factors = overlap.clamp_min(torch.finfo(kernel.dtype).tiny).rsqrt()
        return kernel * factors.reshape((-1, 1, 1, 1) if by_output else (1, -1, 1, 1))


AOL = Family("AOL", without_series(AOLConv2d), head="cayley")
