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
    """

    family = "AOL"

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
