"""CPL (Meunier et al., *A Dynamical System Perspective for Lipschitz Neural Networks*, ICML 2022)."""

from __future__ import annotations

import torch
from torch import nn

from lipscope.layers.orthogonal import Family, without_series
from lipscope.layers.potential import PotentialConv2d
from lipscope.layers.scaled import OverNorm


class CPLConv2d(PotentialConv2d):
    """x -> x - (2 / ||K||^2) K^T relu(K x + b), as a step with G = K / ||K||.

    Args:
        in_channels, out_channels, kernel_size, stride, side: as of :class:`PotentialConv2d`.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, side: int) -> None:
        super().__init__("CPL", in_channels, out_channels, kernel_size, stride, side)

    def new_scaling(self, generator: torch.Generator | None) -> nn.Module:
        """Division by the norm."""
        return OverNorm(self.kernel, self.side, generator)


CPL = Family("CPL", without_series(CPLConv2d), head="cayley")
