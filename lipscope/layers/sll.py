"""SLL (Araujo et al., *A Unified Algebraic Perspective on Lipschitz Neural Networks*, ICLR 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lipscope.layers.orthogonal import Family, without_series
from lipscope.layers.potential import PotentialConv2d
from lipscope.layers.scaled import overlaps


class SLLConv2d(PotentialConv2d):
    """x -> x - 2 K^T T^-1 relu(K x + b), as a step with G = T^(-1/2) K."""

    family = "SLL"

    def new_scaling(self, generator: torch.Generator | None) -> nn.Module:
        """The division of rows by the roots of T."""
        return OverDiagonal(len(self.kernel))


class OverDiagonal(nn.Module):
    """K -> T^(-1/2) K, T_i = sum over j and offsets of |(K * K^T)_ij| q_j / q_i, for which T - K K^T >= 0.

    Nothing is added to T to keep it from 0; a row without weight stays without.

    Args:
        rows: of K.
    """

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.log_q = nn.Parameter(torch.zeros(rows))

    def forward(self, kernel: Tensor) -> Tensor:
        """(out, in, k, k) to the same shape."""
        ratios = torch.exp(self.log_q.unsqueeze(0) - self.log_q.unsqueeze(1))
        diagonal = (overlaps(kernel) * ratios).sum(dim=1)
        return kernel * diagonal.clamp_min(torch.finfo(kernel.dtype).tiny).rsqrt().reshape(-1, 1, 1, 1)


SLL = Family("SLL", without_series(SLLConv2d), head="cayley")
