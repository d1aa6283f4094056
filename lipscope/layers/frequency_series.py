"""The exponential series of a zero-padded convolution among frequencies, in float64, with a proved rounding error.

With T, V and B of :mod:`lipscope.layers.padded_frequencies`, z_0 = T x and z_k = (1 - V V*) B z_(k-1) give
p_n(A) x = T* sum_k z_k / k!. torch's own convolutions are slow in float64, and on a GPU they may choose an algorithm
that is no sum of products, which the proofs of rounding errors do not cover.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lipscope.bounds.convolution import absolute_bound
from lipscope.bounds.memo import once_per_content
from lipscope.bounds.rounding import FLOAT64, outward
from lipscope.layers.padded_frequencies import PaddedFrequencies

FREQUENCIES_AT_A_TIME = 8
"""When only the absolute sums of the symbols are wanted."""


class FrequencySeries(nn.Module):
    """x -> sum_{k <= n} A^k x / k!, A the convolution with zero padding; float64, without gradients.

    Args:
        kernel: (C, C, k, k), k odd.
        height, width: of the maps.
        terms: n.
    """

    symbols: Tensor

    def __init__(self, kernel: Tensor, height: int, width: int, terms: int) -> None:
        super().__init__()
        self.terms, self.channels = terms, kernel.shape[0]
        self.among = PaddedFrequencies(height, width, kernel.shape[-1]).to(kernel.device)
        self.register_buffer("symbols", self.among.symbols(kernel), persistent=False)

    def takes(self, x: Tensor) -> bool:
        """float64, and no gradient that is wanted."""
        return x.dtype == torch.float64 and not torch.is_grad_enabled()

    def forward(self, x: Tensor, outputs: int) -> Tensor:
        """(N, at most C, H, W) to the first so many channels (N, outputs, H, W); missing ones are zero."""
        among, count, channels = self.among, len(x), self.channels
        flat = x.permute(2, 3, 1, 0).reshape(among.height * among.width, -1)
        term = torch.zeros(2 * among.frequencies, channels, count, dtype=x.dtype, device=x.device)
        term[:, : x.shape[1]] = (among.pixels @ flat).unflatten(1, (-1, count))
        term = term.flatten(1)
        total, image = term.clone(), torch.empty_like(term)
        for k in range(1, self.terms + 1):
            blocks = (among.frequencies, 2 * channels, count)
            torch.bmm(self.symbols, term.view(blocks), out=image.view(blocks))
            image.addmm_(among.walls, among.walls.mT @ image, alpha=-1)
            total.add_(image, alpha=1 / math.factorial(k))
            term, image = image, term
        kept = total.unflatten(1, (channels, count))[:, :outputs].flatten(1)
        maps: Tensor = (among.pixels.mT @ kept).reshape(among.height, among.width, outputs, count)
        return maps.permute(3, 2, 0, 1)


def frequency_rounding(
    kernel: Tensor, sizes: tuple[int, int], terms: int, rho: float, lipschitz: float, norm: float
) -> float:
    """A bound on the error of :class:`FrequencySeries` in float64 for all x with ||x||_2 <= norm.

    A step errs by d_k = (B's products) + ||B^ - B|| ||z|| + (the products with V* and V), so e_k <= rho e_(k-1) + d_k
    and ||z_k|| <= rho ||z_(k-1)|| + d_k, because 1 - V V* does not lengthen anything. T errs before and T* after;
    neither lengthens an error.

    Args:
        kernel: (C, C, k, k).
        sizes: of the map.
        terms: n.
        rho: a proved bound on the norm of the circular convolution on the grid.
        lipschitz: a proved bound on ||p_n(A)||.
        norm: a bound on ||x||.
    """
    channels, among = len(kernel), PaddedFrequencies(*sizes, kernel.shape[-1])
    parts, points = 2 * among.frequencies * channels, math.prod(sizes)
    off = among.symbols_error(kernel)
    absolute = outward(_absolute_symbols(kernel, *sizes) + 2 * off)
    turned, turned_off = absolute_bound(among.pixels), among.table_error(among.pixels)
    wall, wall_off = absolute_bound(among.walls), among.table_error(among.walls)
    among_walls = among.walls.shape[1]

    error = FLOAT64.products(points, turned, norm, parts) + turned_off * norm
    length = norm + error
    errors, lengths, undivided = error, length, length
    for k in range(1, terms + 1):
        local = FLOAT64.products(2 * channels, absolute, length, parts) + off * length
        reached = rho * length + local
        inward = FLOAT64.products(parts // channels, wall, reached, among_walls * channels) + wall_off * reached
        put_back = FLOAT64.products(among_walls, wall, reached + inward, parts) + wall_off * (reached + inward)
        local += inward + put_back + FLOAT64.gamma(among_walls + 2) * reached
        error, length = rho * error + local, rho * length + local
        errors += error / math.factorial(k)
        lengths += length / math.factorial(k)
        undivided += length
    # As for the series of convolutions: underflow of the additions, and of a coefficient.
    flushed = FLOAT64.smallest * (8 * (terms + 1) * math.sqrt(parts) + undivided)
    whole = outward(errors + FLOAT64.gamma(terms + 4) * lengths + 2 * flushed)
    length = lipschitz * norm + whole
    after = FLOAT64.products(parts // channels, turned, length, points * channels) + turned_off * length
    return FLOAT64.held(outward(whole + after), outward(2 * undivided))


@once_per_content
def _absolute_symbols(kernel: Tensor, height: int, width: int) -> float:
    """An upper bound on || |B^| ||_2: the root of largest row sum times largest column sum, a few blocks at a time."""
    among = PaddedFrequencies(height, width, kernel.shape[-1])
    outputs, inputs = kernel.shape[:2]
    flat = kernel.detach().cpu().to(torch.float64).permute(2, 3, 0, 1).reshape(-1, outputs * inputs)
    largest = 0.0
    for taps in among.taps.split(2 * FREQUENCIES_AT_A_TIME):
        sums = (taps @ flat).abs_().reshape(-1, 2, outputs, inputs).sum(1)
        # A row of the block holds |real| and |imaginary| once each, and so does a column.
        largest = max(largest, float((sums.sum(2).amax(1).sqrt() * sums.sum(1).amax(1).sqrt()).max()))
    return outward(largest * (1 + 1e-9))
