"""The exponential series of a zero-padded convolution, as a forward pass and as one matrix, with its rounding error."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from lipscope.bounds.rounding import Arithmetic, outward
from lipscope.layers.frequency_series import FrequencySeries
from lipscope.layers.skew import conjugate_kernel
from lipscope.layers.trained_series import trained_series

PIECE = 256
"""Products that are summed at a time while a matrix is formed, so that its errors stay small."""

IMAGES_AT_A_TIME = 256
"""When a matrix is formed."""


def taylor_exponential(x: Tensor, kernel: Tensor, terms: int, outputs: int | None = None) -> Tensor:
    """sum_{k <= n} A^k x / k!, A the convolution with ``kernel`` and zero padding; only the first channels if so many.

    Maps so small that the kernel covers them are multiplied by the matrix of A itself, several times faster there;
    larger ones in float64, when no gradient is wanted, among frequencies.

    Args:
        x: (N, C, H, W).
        kernel: (C, C, k, k), k odd.
    """
    shape = x.shape
    outputs = shape[1] if outputs is None else outputs
    trained = kernel.requires_grad and torch.is_grad_enabled()
    if covered(kernel, shape[2], shape[3]):
        matrix = convolution_matrix(kernel, shape[2], shape[3])
        if trained:
            rows = trained_series(x.flatten(1), matrix, terms, outputs * shape[2] * shape[3])
            return rows.reshape(shape[0], outputs, *shape[2:])
        total = term = x.flatten(1)
        for k in range(1, terms + 1):
            term = F.linear(term, matrix)
            total = torch.add(total, term, alpha=1 / math.factorial(k))
        return total.reshape(shape)[:, :outputs]
    if trained:
        return trained_series(x, kernel, terms, outputs)
    if x.dtype == torch.float64 and not torch.is_grad_enabled() and by_frequencies(kernel, shape[2], shape[3]):
        series: Tensor = FrequencySeries(kernel, shape[2], shape[3], terms)(x, outputs)
        return series
    padding = kernel.shape[-1] // 2
    total = term = x.contiguous(memory_format=torch.channels_last)
    for k in range(1, terms + 1):
        term = F.conv2d(term, kernel, padding=padding)
        total = torch.add(total, term, alpha=1 / math.factorial(k))
    return total[:, :outputs]


def covered(kernel: Tensor, height: int, width: int) -> bool:
    """Whether every pixel of the map meets every other, so that the matrix of A has no zeros of its own."""
    return max(height, width) <= (kernel.shape[-1] + 1) // 2


def by_frequencies(kernel: Tensor, height: int, width: int) -> bool:
    """Whether the series is computed among frequencies in float64: for several taps that do not cover the map."""
    return kernel.shape[-1] > 1 and not covered(kernel, height, width)


def convolution_matrix(kernel: Tensor, height: int, width: int) -> Tensor:
    """The matrix of the zero-padded convolution on height x width maps that the kernel covers, (C H W, C H W).

    Output (o, p) and input (i, q) are joined by kernel[o, i, q - p + k // 2].
    """
    channels, middle = kernel.shape[0], kernel.shape[-1] // 2
    rows = [
        kernel[:, :, middle - y : middle - y + height, middle - x : middle - x + width]
        for y in range(height)
        for x in range(width)
    ]
    size = channels * height * width
    return torch.stack(rows, dim=1).reshape(size, size)


@torch.no_grad()
def series_rows(kernel: Tensor, height: int, width: int, terms: int, outputs: int) -> Tensor:
    """The rows of p_n(A) for the first so many channels, (outputs H W, C H W) float64.

    A row is p_n(A*) of a unit vector; A* is the convolution with the conjugate kernel.
    """
    kernel = kernel.detach().to(torch.float64)
    count, size = outputs * height * width, len(kernel) * height * width
    rows = torch.eye(count, size, dtype=torch.float64, device=kernel.device)
    if not covered(kernel, height, width):
        series = FrequencySeries(conjugate_kernel(kernel), height, width, terms)
        for some in rows.split(IMAGES_AT_A_TIME):
            some.copy_(series(some.reshape(-1, len(kernel), height, width), len(kernel)).flatten(1))
        return rows
    parts = convolution_matrix(kernel, height, width).split(PIECE)
    for some in rows.split(IMAGES_AT_A_TIME):
        term, image, product = some.clone(), torch.empty_like(some), torch.empty_like(some)
        for k in range(1, terms + 1):
            image.zero_()
            for values, part in zip(term.split(PIECE, 1), parts, strict=True):
                image.add_(torch.mm(values, part, out=product))
            some.add_(image, alpha=1 / math.factorial(k))
            term, image = image, term
    return rows


def pieced(products: int) -> int:
    """The additions that a product meets where ``products`` of them are summed by :func:`series_rows`, piece by piece.

    >>> pieced(100), pieced(1024)
    (101, 260)
    """
    return min(products, PIECE) + math.ceil(products / PIECE)


def series_rounding(
    terms: int,
    rho: float,
    absolute: float,
    products: int,
    size: int,
    norm: float,
    arithmetic: Arithmetic,
    depth: int | None = None,
) -> float:
    """A bound on the error of the series of convolutions or matrix products, for all x with ||x||_2 <= norm.

    The computed terms t_k = fl(A t_(k-1)) err by d_k = gamma || |A| || ||t_(k-1)|| each time, so e_k = ||t_k - A^k x||
    obeys e_k <= rho e_(k-1) + d_k, and ||t_k|| <= rho ||t_(k-1)|| + d_k. In the sum t_k meets at most n additions, one
    product and the two roundings of the coefficient 1/k!:

        error <= sum_k e_k / k! + gamma_(n+4) sum_k ||t_k|| / k!.

    Args:
        terms: n.
        rho, absolute: proved bounds on ||A|| and || |A| ||.
        products: in one output of A.
        size: outputs of A.
        norm: a bound on ||x||.
        depth: the most additions that a product meets in A, where sums are taken in pieces.
    """
    error, length = 0.0, norm
    errors, lengths, undivided = 0.0, norm, norm
    for k in range(1, terms + 1):
        local = arithmetic.products(products, absolute, length, size, depth)
        error = rho * error + local
        length = rho * length + local
        errors += error / math.factorial(k)
        lengths += length / math.factorial(k)
        undivided += length
    # Underflow: of the operations and operands of every addition, and of a coefficient that multiplies a whole term.
    flushed = arithmetic.smallest * (8 * (terms + 1) * math.sqrt(size) + undivided)
    return arithmetic.held(
        outward(errors + arithmetic.gamma(terms + 4) * lengths + 2 * flushed), outward(2 * undivided)
    )
