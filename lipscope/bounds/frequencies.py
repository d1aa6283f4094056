"""The symbol of a convolution on a grid of frequencies: the matrices K^(w) = sum_ab K_ab exp(-i (a w_1 + b w_2)).

On N points with the twist t the frequencies are 2 pi (k + t) / N. The convolution of sequences that continue with
f(p + N) = exp(2 pi i t) f(p) is unitarily equivalent to the block-diagonal matrix of these K^(w): without a twist the
circular convolution, with t = 1/2 the one whose sequences change their sign from period to period. So the maximum of
||K^(w)|| over any such grid bounds every part of the operator that does not notice the period.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lipscope.bounds.matrix import normalized, spectral_norm_bound
from lipscope.bounds.memo import once_per_content
from lipscope.bounds.rounding import gamma, scaled, up

Twist = tuple[bool, bool]
"""By axis, whether the frequencies are shifted by half a step."""


@once_per_content
def grid_bound(kernel: Tensor, height: int, width: int, twist: Twist = (False, False)) -> float:
    """A proved upper bound on the maximum of ||K^(w)|| over a grid, with the rounding of the transform added.

    Args:
        kernel: (out, in, h, w), real; it may be larger than the grid.
        height, width: points of the grid.
        twist: see above.
    """
    if kernel.numel() == 0:
        return 0.0
    if kernel.shape[2:] == (1, 1):
        return spectral_norm_bound(kernel[:, :, 0, 0])
    kernel, exponent = normalized(kernel.to(torch.float64))
    if exponent is None:
        return math.inf
    terms = kernel.shape[2] * kernel.shape[3]
    total = float(torch.linalg.norm(kernel.abs().sum(dim=(2, 3))))
    transform_error = up(total * 4 * gamma(2 * terms + 16), 4)
    largest = spectral_norm_bound(symbols(kernel, height, width, twist).flatten(0, 1))
    return up(scaled(up(largest + transform_error), exponent))


def symbols(kernel: Tensor, height: int, width: int, twist: Twist = (False, False)) -> Tensor:
    """K^(w) over half of the grid, (height, half, out, in) complex128; the other half are the conjugates.

    The kernel is real: K^(-w) is the conjugate of K^(w). See :func:`multiplicities` for how often each occurs.
    """
    rows = _phases(kernel.shape[2], height, twist[0])
    columns = _phases(kernel.shape[3], width, twist[1])[: _half(width, twist[1])]
    # One axis after the other: the intermediate result is small, the whole product is not.
    across = torch.einsum("oiab,cb->oiac", kernel.to(torch.complex128), columns)
    return torch.einsum("oiac,ra->rcoi", across, rows)


def multiplicities(width: int, twisted: bool = False) -> list[int]:
    """How often each column of :func:`symbols` occurs in the whole grid, up to conjugation.

    >>> multiplicities(4), multiplicities(5), multiplicities(5, twisted=True)
    ([1, 2, 1], [1, 2, 2], [2, 2, 1])
    """
    alone = {(width - 1) // 2} if twisted and width % 2 else set()
    if not twisted:
        alone = {0, width // 2} if width % 2 == 0 else {0}
    return [1 if column in alone else 2 for column in range(_half(width, twisted))]


def _half(points: int, twisted: bool) -> int:
    return (points + 1) // 2 if twisted else points // 2 + 1


def _phases(extent: int, points: int, twisted: bool) -> Tensor:
    """exp(-2 pi i a (k + t) / N), (points, extent); a (2 k + 2 t) is reduced mod 2 N first, so that it stays exact."""
    doubled = 2 * torch.arange(points) + int(twisted)
    reduced = (doubled.unsqueeze(1) * torch.arange(extent).unsqueeze(0)) % (2 * points)
    angle = reduced.to(torch.float64) * (math.pi / points)
    return torch.polar(torch.ones_like(angle), -angle)
