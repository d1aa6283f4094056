"""Layer-wise orthogonal training (Xu et al., *LOT: Layer-wise Orthogonal Training*, NeurIPS 2022)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lipscope.layers.frequency import FrequencyConv2d, SymbolWeight, free_symbols
from lipscope.layers.orthogonal import Family, without_series

ITERATIONS, EXACT_ITERATIONS = 12, 40
"""Of Newton's method, in training and when a kernel is stored; each multiplies small singular values by 1.5."""


class LOTWeight(SymbolWeight):
    """V, as the symbols of a free kernel, at first a little noise around the identity, as suits Newton's method."""

    def __init__(
        self, in_channels: int, out_channels: int, taps: int, grid: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(in_channels, out_channels, taps, grid)
        weight = torch.randn(out_channels, in_channels, taps, taps, generator=generator)
        weight *= 0.5 * (max(in_channels, out_channels) * taps**2) ** -0.5
        middle = min((taps - 1) // 2, grid - 1)
        weight[:, :, middle, middle] += torch.eye(out_channels, in_channels)
        self.weight = nn.Parameter(weight)

    def symbols(self, *free: Tensor) -> Tensor:
        """The factors; in float64 by as many iterations as reach any singular value over a millionth of the largest."""
        iterations = EXACT_ITERATIONS if free[0].dtype == torch.float64 else ITERATIONS
        return unitary_factor(free_symbols(free[0], self.grid), iterations)


class LOTConv2d(FrequencyConv2d):
    """Circular convolution whose symbols are the unitary factors (V V*)^(-1/2) V of those of a free kernel."""

    family, symbol_weight = "LOT", LOTWeight


def unitary_factor(free: Tensor, iterations: int) -> Tensor:
    """(V V*)^(-1/2) V by coupled Newton iterations; V (V* V)^(-1/2) where V has more rows than columns.

    With A = V V* / ||V V*||_F: Y <- Y T, Z <- T Z, T = (3 I - Z Y) / 2 from Y = A, Z = I gives Z -> A^(-1/2) (Higham,
    *Functions of Matrices*, 2008, section 6.3).

    Args:
        free: V, (..., out, in), of full rank.
        iterations: of Newton's method.
    """
    if free.shape[-2] > free.shape[-1]:
        return unitary_factor(free.mT, iterations).mT
    gram = free @ free.mH
    length = torch.linalg.matrix_norm(gram, keepdim=True)
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    y, z = gram / length, identity.expand_as(gram)
    for _ in range(iterations):
        step = (3 * identity - z @ y) / 2
        y, z = y @ step, step @ z
    factor: Tensor = z @ free / length.sqrt()
    return factor


LOT = Family("LOT", without_series(LOTConv2d))
