"""Proved bounds on pooling layers, from how their windows overlap.

Let window p hold the pixels W_p, and let c be the largest number of windows that hold one pixel.

- **Maximum**: |max_W x - max_W y| <= |x_j - y_j| for some j in W. Every pixel answers for at most c windows, so the
  layer has the constant sqrt(c). It is attained where c windows share a pixel that is larger than all others.
- **Euclidean norm** (``LPPool2d`` with p = 2): | ||x_W|| - ||y_W|| | <= ||(x - y)_W||, and every pixel is counted at
  most c times: sqrt(c) again.
- **Mean**: linear, and the window and its divisor are products over the two axes, so the layer is a Kronecker product
  A_y (x) A_x of small matrices, whose norm ||A_y|| ||A_x|| is proved exactly, up to rounding.

Channels are pooled each on its own, and do not change the norm.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from lipscope.bounds.matrix import spectral_norm_bound
from lipscope.bounds.rounding import UNIT_ROUNDOFF, up
from lipscope.records import Bound

Pair = int | tuple[int, int]


def average_pool_bound(
    input_size: tuple[int, int],
    kernel: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    *,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: int | None = None,
) -> Bound:
    """The norm of ``torch.nn.AvgPool2d``, up to rounding.

    Args:
        input_size: height and width.
        kernel, stride, padding, ceil_mode, count_include_pad, divisor: as of the layer; the stride is the kernel where
            not given, the divisor the size of the window.

    Raises:
        ValueError: the window does not fit into the padded image.

    >>> bound = average_pool_bound((8, 8), 2)
    >>> 0.5 <= bound.value < 0.5000001
    True
    """
    norms = []
    for axis in range(2):
        n, k, s, pad = input_size[axis], *_axis(axis, kernel, stride, padding)
        rows = []
        for start in starts(n, k, s, pad, ceil_mode=ceil_mode):
            first, last = max(start, 0), min(start + k, n)
            # torch counts padding up to n + pad, and nothing beyond it.
            counted = min(start + k, n + pad) - start if count_include_pad else last - first
            rows.append((first, last, 1 if divisor is not None else counted))
        norms.append(_norm_of_means(n, rows))
    value = up(norms[0] * norms[1])
    return Bound(up(value / divisor) if divisor is not None else value, "norm of the means along both axes by Cholesky")


def adaptive_average_pool_bound(input_size: tuple[int, int], output_size: Pair) -> Bound:
    """The norm of ``torch.nn.AdaptiveAvgPool2d``, up to rounding; 1 / sqrt(H W) for the global mean.

    >>> bound = adaptive_average_pool_bound((4, 4), 1)
    >>> 0.25 <= bound.value < 0.2500001
    True
    """
    norms = []
    for n, windows in zip(input_size, _adaptive(input_size, output_size), strict=True):
        norms.append(_norm_of_means(n, [(first, last, last - first) for first, last in windows]))
    return Bound(up(norms[0] * norms[1]), "norm of the means along both axes by Cholesky")


def max_pool_bound(
    input_size: tuple[int, int],
    kernel: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    *,
    ceil_mode: bool = False,
) -> Bound:
    """sqrt(c) for ``torch.nn.MaxPool2d``: exactly 1 where no two windows overlap.

    Raises:
        ValueError: the window does not fit into the padded image.

    >>> max_pool_bound((8, 8), 2).value, max_pool_bound((8, 8), 3, 2, 1).value
    (1.0, 2.0)
    """
    overlap = 1
    for axis in range(2):
        n, k, s, pad = input_size[axis], *_axis(axis, kernel, stride, padding)
        step = _pair(dilation)[axis]
        windows = [
            range(start, start + step * k, step) for start in starts(n, step * (k - 1) + 1, s, pad, ceil_mode=ceil_mode)
        ]
        overlap *= _overlap(n, windows)
    return _root(overlap, "maxima")


def l2_pool_bound(input_size: tuple[int, int], kernel: Pair, stride: Pair | None = None) -> Bound:
    """sqrt(c) for ``torch.nn.LPPool2d`` with norm 2: exactly 1 where no two windows overlap.

    Not for ``ceil_mode``: torch scales up the windows that reach beyond the image.

    Raises:
        ValueError: the window does not fit into the image.
    """
    bound = max_pool_bound(input_size, kernel, stride)
    return replace(bound, method=bound.method.replace("maxima", "norms"))


def adaptive_max_pool_bound(input_size: tuple[int, int], output_size: Pair) -> Bound:
    """sqrt(c) for ``torch.nn.AdaptiveMaxPool2d``."""
    overlap = 1
    for n, windows in zip(input_size, _adaptive(input_size, output_size), strict=True):
        overlap *= _overlap(n, [range(first, last) for first, last in windows])
    return _root(overlap, "maxima")


def _root(overlap: int, what: str) -> Bound:
    method = f"{what} over windows of which at most {overlap} share a pixel"
    root = math.isqrt(overlap)
    return Bound.exactly(float(root), method) if root**2 == overlap else Bound(up(math.sqrt(overlap)), method)


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _axis(axis: int, kernel: Pair, stride: Pair | None, padding: Pair) -> tuple[int, int, int]:
    return _pair(kernel)[axis], _pair(kernel if stride is None else stride)[axis], _pair(padding)[axis]


def starts(size: int, extent: int, stride: int, padding: int, *, ceil_mode: bool) -> list[int]:
    """Where the windows begin; ``ceil_mode`` adds one that reaches beyond the end, if it begins before it.

    Raises:
        ValueError: no window fits.
    """
    room = size + 2 * padding - extent
    if room < 0 and not (ceil_mode and room > -stride):
        raise ValueError(f"a window of {extent} does not fit into {size} pixels with padding {padding}")
    count = (-(-room // stride) if ceil_mode else room // stride) + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1
    return [p * stride - padding for p in range(count)]


def _adaptive(input_size: tuple[int, int], output_size: Pair) -> list[list[tuple[int, int]]]:
    """By axis, the windows [floor(i n / m), ceil((i + 1) n / m))."""
    sizes = zip(input_size, _pair(output_size), strict=True)
    return [[(i * n // m, -(-(i + 1) * n // m)) for i in range(m)] for n, m in sizes]


def _overlap(size: int, windows: list[range]) -> int:
    """The largest number of windows that hold one pixel."""
    counts = [0] * size
    for window in windows:
        for pixel in window:
            if 0 <= pixel < size:
                counts[pixel] += 1
    return max(counts)


def _norm_of_means(size: int, rows: list[tuple[int, int, int]]) -> float:
    """The norm of the matrix with 1 / divisor at first <= j < last in every row, its rounding included."""
    matrix = torch.zeros(len(rows), size, dtype=torch.float64)
    for row, (first, last, divisor) in zip(matrix, rows, strict=True):
        row[first:last] = 1.0 / divisor if divisor else 0.0
    entries: Tensor = torch.linalg.vector_norm(matrix)
    return up(spectral_norm_bound(matrix) + 2 * UNIT_ROUNDOFF * float(entries), 2)
