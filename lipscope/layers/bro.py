"""Block reflectors (Lai et al., *Enhancing Certified Robustness via Block Reflector Orthogonal Layers*, ICML 2025)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lipscope.layers.frequency import FrequencyConv2d, SymbolWeight, free_symbols
from lipscope.layers.orthogonal import Family, without_series


class BROWeight(SymbolWeight):
    """V, as the symbols of a free kernel of half as many columns as the larger side has channels; normal at first.

    Rows or columns beyond the layer's are dropped.
    """

    def __init__(
        self, in_channels: int, out_channels: int, taps: int, grid: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(in_channels, out_channels, taps, grid)
        self.shape = (out_channels, in_channels)
        size = max(in_channels, out_channels)
        self.weight = nn.Parameter(torch.randn(size, max(1, size // 2), taps, taps, generator=generator))

    def symbols(self, *free: Tensor) -> Tensor:
        """The reflections."""
        outputs, inputs = self.shape
        return block_reflector(free_symbols(free[0], self.grid))[..., :outputs, :inputs]


class BROConv2d(FrequencyConv2d):
    """Circular convolution whose symbols are reflections in a subspace, I - 2 V (V* V)^-1 V*."""

    family, symbol_weight = "BRO", BROWeight


def block_reflector(free: Tensor) -> Tensor:
    """I - 2 V (V* V)^-1 V*: unitary and self-adjoint, -1 on the span of V's columns and 1 beside it.

    Args:
        free: V, (..., n, r), r <= n, of full rank.
    """
    identity = torch.eye(free.shape[-2], dtype=free.dtype, device=free.device)
    coordinates: Tensor = torch.linalg.solve_ex(free.mH @ free, free.mH).result
    return identity - 2 * free @ coordinates


BRO = Family("BRO", without_series(BROConv2d))
