"""Block reflectors (Lai et al., *Enhancing Certified Robustness via Block Reflector Orthogonal Layers*, ICML 2025)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lipscope.layers.frequency import FrequencyConv2d, SymbolWeight, free_symbols
from lipscope.layers.orthogonal import Family, without_series


class BROConv2d(FrequencyConv2d):
    """Circular convolution whose symbols are reflections in a subspace, I - 2 V (V* V)^-1 V*."""

    family = "BRO"

    def weight(self, inputs: int, outputs: int, generator: torch.Generator | None) -> SymbolWeight:
        """A free kernel of the layer's taps, of half as many columns as the larger side has channels."""
        return BROWeight(inputs, outputs, self.taps, self.grid, generator)


class BROWeight(SymbolWeight):
    """V, as the symbols of a free kernel; rows or columns beyond the layer's are dropped.

    Args:
        in_channels, out_channels: after the unshuffling.
        taps: height and width of the free kernel.
        grid: height and width of the map.
        generator: of the initial values, normal.
    """

    def __init__(
        self, in_channels: int, out_channels: int, taps: int, grid: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.grid, self.shape = grid, (out_channels, in_channels)
        size = max(in_channels, out_channels)
        self.weight = nn.Parameter(torch.randn(size, max(1, size // 2), taps, taps, generator=generator))

    def symbols(self, *free: Tensor) -> Tensor:
        """The reflections."""
        outputs, inputs = self.shape
        return block_reflector(free_symbols(free[0], self.grid))[..., :outputs, :inputs]


def block_reflector(free: Tensor) -> Tensor:
    """I - 2 V (V* V)^-1 V*: unitary and self-adjoint, -1 on the span of V's columns and 1 beside it.

    Args:
        free: V, (..., n, r), r <= n, of full rank.
    """
    identity = torch.eye(free.shape[-2], dtype=free.dtype, device=free.device)
    coordinates: Tensor = torch.linalg.solve_ex(free.mH @ free, free.mH).result
    return identity - 2 * free @ coordinates


BRO = Family("BRO", without_series(BROConv2d))
