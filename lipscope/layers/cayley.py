"""Cayley orthogonal convolution: the Cayley map of a free weight at every frequency.

Trockman & Kolter, *Orthogonalizing Convolutional Layers with the Cayley Transform*, ICLR 2021.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lipscope.layers.frequency import FrequencyConv2d, SymbolWeight, free_symbols, spectrum_length
from lipscope.layers.orthogonal import Family, without_series


class CayleyWeight(SymbolWeight):
    """A free kernel scaled to the length alpha, at first uniform as that of any convolution, at its own length."""

    def __init__(
        self, in_channels: int, out_channels: int, taps: int, grid: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(in_channels, out_channels, taps, grid)
        limit = (in_channels * taps**2) ** -0.5
        weight = torch.empty(out_channels, in_channels, taps, taps).uniform_(-limit, limit, generator=generator)
        self.weight = nn.Parameter(weight)
        self.alpha = nn.Parameter(spectrum_length(free_symbols(weight, grid), grid))

    def symbols(self, *free: Tensor) -> Tensor:
        """As of :func:`cayley_symbols`."""
        weight, alpha = free
        return cayley_symbols(weight, alpha, self.grid)


class CayleyConv2d(FrequencyConv2d):
    """Circular convolution whose symbols are Cayley maps."""

    family, symbol_weight = "Cayley", CayleyWeight


def cayley_symbols(weight: Tensor, alpha: Tensor, grid: int) -> Tensor:
    """Cayley(alpha W^ / ||W^||), (n, h, out, in); (1, 1, out, in) where all frequencies have the same.

    Args:
        weight: (out, in, k, k).
        alpha: a single number.
        grid: n.
    """
    free = free_symbols(weight, grid)
    return cayley_map(free * (alpha / spectrum_length(free, grid)))


def cayley_map(free: Tensor) -> Tensor:
    """[U; V] to [(I + A)^-1 (I - A); -2 V (I + A)^-1] with A = U - U* + V* V: orthonormal columns.

    Args:
        free: (..., out, in); with more columns than rows the map of the transpose, transposed back.
    """
    outputs, inputs = free.shape[-2:]
    if inputs > outputs:
        return cayley_map(free.mT).mT
    upper, lower = free[..., :inputs, :], free[..., inputs:, :]
    identity = torch.eye(inputs, dtype=free.dtype, device=free.device)
    # (I + A)^-1 (I - A) = 2 (I + A)^-1 - I. I + A is never singular: its Hermitian part is at least I.
    inverse = torch.linalg.inv_ex(identity + upper - upper.mH + lower.mH @ lower).inverse
    return torch.cat([2 * inverse - identity, -2 * lower @ inverse], dim=-2)


CAYLEY = Family("Cayley", without_series(CayleyConv2d))
