"""Proved upper bounds on the operator norm of a convolution, from its kernel alone.

With the kernel K of shape (out, in, h, w) and K^(w) = sum_ab K[:, :, a, b] exp(-i (a w_1 + b w_2)):

- circular padding on n x m: the norm is the maximum of ||K^(w)|| over the n x m grid (exact);
- zero padding on n x m: the operator is a compression of the circular one on N >= n + h - 1, M >= m + w - 1,
  so the maximum over that larger grid is an upper bound (N = n is not: mathematics, "Proved bounds");
- any image size and either padding: the supremum over all w, bounded through the grid by a theorem on
  trigonometric polynomials (Ehlich & Zeller 1964): for degree d on N > 2d points, sup <= max / cos(pi d / N);
- any stride: a strided convolution drops outputs, so every bound holds for it too;
- groups: the maximum over the groups.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lipscope.bounds.frequencies import grid_bound
from lipscope.bounds.matrix import rough_norm, spectral_norm_bound
from lipscope.bounds.rounding import gamma, outward, up

LARGE_KERNEL = 2**16
"""Numbers in a kernel above which only the unfolding with the least estimated norm is proved."""


def unfolding_bound(kernel: Tensor) -> float:
    """sqrt(h w) times the smallest spectral norm of the four unfoldings (Singla & Feizi, ICLR 2021, theorem 2).

    Holds for every image size, stride, zero and circular padding; 1.5 to 1.7 times loose, and cheap.

    Args:
        kernel: (out, in, h, w).
    """
    out_channels, in_channels, height, width = kernel.shape
    unfoldings = [
        kernel.permute(0, 2, 1, 3).reshape(out_channels * height, in_channels * width),
        kernel.permute(0, 3, 1, 2).reshape(out_channels * width, in_channels * height),
        kernel.reshape(out_channels, in_channels * height * width),
        kernel.permute(0, 2, 3, 1).reshape(out_channels * height * width, in_channels),
    ]
    if height * width == 1:
        return spectral_norm_bound(kernel[:, :, 0, 0])
    if kernel.numel() > LARGE_KERNEL:
        # Any of the four proves the bound: prove the one that seems to be the least.
        unfoldings = [min(unfoldings, key=rough_norm)]
    smallest = min(spectral_norm_bound(unfolding) for unfolding in unfoldings)
    return up(math.sqrt(height * width) * smallest, 2)


def circular_bound(kernel: Tensor, height: int, width: int) -> float:
    """The norm of the circular convolution on height x width, up to rounding; kernels may exceed the image.

    Args:
        kernel: (out, in, h, w), one group.
    """
    return grid_bound(kernel, height, width)


def zero_padded_bound(kernel: Tensor, height: int, width: int) -> float:
    """An upper bound on the norm of the convolution with zero padding (of any width) on height x width.

    The full output of size (height + h - 1) x (width + w - 1) is a part of the circular convolution on a grid of
    that size, of which every zero-padded and strided convolution is a restriction.

    Args:
        kernel: (out, in, h, w), one group.
    """
    return grid_bound(kernel, height + kernel.shape[2] - 1, width + kernel.shape[3] - 1)


def every_size_bound(kernel: Tensor, grid: int = 32) -> float:
    """An upper bound for every image size, stride, zero and circular padding, within 2% for 3x3 kernels.

    For unit vectors u, v the function |u* K^(w) v|^2 is a trigonometric polynomial of degree h - 1 (w - 1) in each
    frequency, so sup ||K^||^2 <= max over the grid of ||K^||^2 / (cos(pi (h-1)/N) cos(pi (w-1)/N)).

    Args:
        kernel: (out, in, h, w), one group.
        grid: N; raised to 4 (h - 1) where smaller.
    """
    result = 1.0
    sizes = []
    for extent in kernel.shape[2:]:
        points = 1 if extent == 1 else max(grid, 4 * (extent - 1))
        sizes.append(points)
        if extent > 1:
            result = result / math.cos(math.pi * (extent - 1) / points)
    on_grid = grid_bound(kernel, sizes[0], sizes[1])
    return on_grid if result == 1.0 else up(on_grid * up(math.sqrt(up(result, 8)), 2), 2)


def absolute_bound(kernel: Tensor) -> float:
    """An upper bound on the norm of the convolution with |K|, the absolute values: what rounding errors grow with.

    Every |K|^(w) is at most S = sum_ab |K_ab| entry by entry, so ||S|| covers every image size, stride and padding;
    ||S||^2 <= (largest row sum) (largest column sum) by Schur's test.

    Args:
        kernel: (out, in, h, w), one group; or a matrix (out, in).

    >>> absolute_bound(torch.tensor([[3.0, -4.0]])) >= 5.0
    True
    """
    values = kernel.detach().to(torch.float64).abs()
    sums = values.sum(dim=(2, 3)) if values.ndim == 4 else values
    if sums.numel() == 0:
        return 0.0
    # The square roots first: a product of two large sums would overflow.
    schur = math.sqrt(float(sums.sum(0).max())) * math.sqrt(float(sums.sum(1).max()))
    return outward(schur * (1 + gamma(values.numel() + 8)))


def padded_absolute_bound(kernel: Tensor, height: int, width: int) -> float:
    """The same for zero padding by half of the kernel, counting only the taps that meet the map: less on small maps.

    Args:
        kernel: (out, in, k, k), k odd.
        height, width: of the map.

    >>> padded_absolute_bound(torch.ones(1, 1, 3, 3), 1, 1) < 1.001, padded_absolute_bound(torch.ones(1, 1, 3, 3), 3, 3)
    (True, 9.000...)
    """
    values = kernel.detach().cpu().to(torch.float64).abs()
    if values.numel() == 0:
        return 0.0
    rows, columns = (_meeting(size, taps) for size, taps in zip((height, width), kernel.shape[2:], strict=True))
    # The columns of the matrix meet the taps in the opposite order.
    by_output = torch.einsum("ya,oab,xb->oyx", rows, values.sum(1), columns)
    by_input = torch.einsum("ya,iab,xb->iyx", rows.flip(1), values.sum(0), columns.flip(1))
    schur = math.sqrt(float(by_output.max())) * math.sqrt(float(by_input.max()))
    return outward(schur * (1 + gamma(values.numel() + 8)))


def _meeting(size: int, taps: int) -> Tensor:
    """(size, taps) float64: 1 where a tap at a place of the map meets the map."""
    met = torch.arange(size).unsqueeze(1) + torch.arange(taps) - taps // 2
    return ((met >= 0) & (met < size)).to(torch.float64)
