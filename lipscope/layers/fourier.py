"""Circular convolution in the frequency domain by real matrix products, each rounding of which can be bounded.

A real n x n image X has the transform Z[a, b] = sum_rc X[r, c] exp(-2 pi i (a r + b c) / n) / n, of which the half
spectrum b <= n / 2 tells the rest. With the columns 0 < b < n / 2 multiplied by sqrt(2) the map X -> Z is an isometry,
so its inverse is its transpose. Both multiply each image by two small matrices. On the maps of a LipConvnet that is as
fast as a fast transform, and the standard model of sums of products covers its errors.

Convolutions follow the convention of deep learning, y[p] = sum_a K[a] x[p + a], indices mod n, so that the symbol at
a frequency is the complex conjugate of the kernel's transform.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lipscope.bounds.convolution import absolute_bound
from lipscope.bounds.matrix import length_bound
from lipscope.bounds.rounding import FLOAT64, Arithmetic, outward

TABLE_ROUNDOFFS = 32
"""What an entry of the tables below may be off by, in units of 2^-53, before it is rounded to the dtype of an image.

3 roundings of an angle of at most 2 pi and of its factor, and 8 units for cosine and sine (an assumption about
libraries, with room).
"""


def half_spectrum(side: int) -> int:
    """How many columns of frequencies b tell all of them.

    >>> half_spectrum(32), half_spectrum(3), half_spectrum(1)
    (17, 2, 1)
    """
    return side // 2 + 1


def circular_convolution(x: Tensor, blocks: Tensor) -> Tensor:
    """(N, in, n, n) to (N, out, n, n).

    Args:
        blocks: (n h, 2 out, 2 in), the symbols of a real kernel as :func:`symbol_blocks` gives them.
    """
    batch, channels, side, _ = x.shape
    half = half_spectrum(side)
    z = transform(x.permute(2, 3, 1, 0)).transpose(1, 2).reshape(side * half, 2 * channels, batch)
    z = (blocks @ z).reshape(side, half, 2, -1, batch).transpose(1, 2)
    return inverse_transform(z).permute(3, 2, 0, 1)


def symbol_blocks(kernel: Tensor) -> Tensor:
    """(n h, 2 out, 2 in): the symbols of a kernel (out, in, n, n) that covers the image, as real matrices."""
    side = kernel.shape[-1]
    # The isometry's factors are taken off again.
    plain = side / doubled(side).sqrt().to(kernel)
    real, imaginary = (transform(kernel.permute(2, 3, 0, 1)) * plain.reshape(-1, 1, 1)).unbind(1)
    return real_blocks(real, -imaginary)


def real_blocks(real: Tensor, imaginary: Tensor) -> Tensor:
    """(n h, 2 out, 2 in): real + i imaginary, each (n, h, out, in), acting on real parts above imaginary ones."""
    above, below = torch.cat([real, -imaginary], dim=-1), torch.cat([imaginary, real], dim=-1)
    return torch.cat([above, below], dim=-2).flatten(0, 1)


def transform(x: Tensor) -> Tensor:
    """The isometry, (n, n, ...) to (n, 2, h, ...): a, real or imaginary part, b."""
    side, half = x.shape[0], half_spectrum(x.shape[0])
    z = along_rows(side).to(x) @ x.reshape(side, side, -1)
    z = along_columns(side).to(x) @ z.reshape(2 * side, -1)
    return z.reshape(side, 2, half, *x.shape[2:])


def inverse_transform(z: Tensor) -> Tensor:
    """The transposed isometry, (n, 2, h, ...) to (n, n, ...)."""
    side, _, half = z.shape[:3]
    x = along_columns(side).to(z).mT @ z.reshape(2 * side, -1)
    x = along_rows(side).to(z).mT @ x.reshape(side, 2 * half, -1)
    return x.reshape(side, side, *z.shape[3:])


def along_rows(side: int) -> Tensor:
    """(2 h, n) float64, an isometry: the real parts of a row's transform, then the imaginary ones."""
    angle = angles(side, half_spectrum(side), side)
    factors = (doubled(side) / side).sqrt().unsqueeze(1)
    return torch.cat([angle.cos() * factors, -angle.sin() * factors])


def along_columns(side: int) -> Tensor:
    """(2 n, 2 n) float64, unitary: a column of n complex numbers, each a real and an imaginary part."""
    angle = angles(side, side, side)
    cosine, sine = angle.cos() / math.sqrt(side), angle.sin() / math.sqrt(side)
    parts = torch.stack([torch.stack([cosine, sine], -1), torch.stack([-sine, cosine], -1)], 1)
    return parts.reshape(2 * side, 2 * side)


def angles(side: int, rows: int, columns: int) -> Tensor:
    """2 pi j k / side for j < rows and k < columns, float64; j k is reduced first, so that it stays exact."""
    reduced = torch.arange(rows).unsqueeze(1) * torch.arange(columns).unsqueeze(0) % side
    return reduced.to(torch.float64) * (2 * math.pi / side)


def doubled(side: int) -> Tensor:
    """(h,) float64: 2 for each column of the half spectrum that stands for another one too, else 1."""
    factors = torch.full((half_spectrum(side),), 2.0, dtype=torch.float64)
    factors[0] = 1.0
    if side % 2 == 0:
        factors[-1] = 1.0
    return factors


def circular_rounding(kernel: Tensor, lipschitz: float, norm: float, arithmetic: Arithmetic) -> float:
    """A bound on ||fl(y) - y||_2, y the circular convolution of any x with ||x||_2 <= norm; ``inf`` if unproved.

    With T the isometry and B the symbols, y = T* B T x. The passes T and T* do not lengthen an error; B, itself
    computed with an error b, lengthens it by at most the Lipschitz constant:

        error <= L e(T x) + gamma || |B| || ||z|| + b ||z|| + e(T* y).

    Args:
        kernel: (out, in, n, n).
        lipschitz: a proved bound on the norm of the convolution.
        norm: a bound on ||x||.
    """
    outputs, inputs, side, _ = kernel.shape
    frequencies = side * half_spectrum(side)
    off = symbols_error(kernel, arithmetic)
    absolute = outward(_largest_schur(symbol_blocks(kernel.double())) + 2 * (off + symbols_error(kernel, FLOAT64)))
    before = transform_error(side, inputs, norm, arithmetic)
    spectrum = norm + before
    products = arithmetic.products(2 * inputs, absolute, spectrum, frequencies * 2 * outputs) + off * spectrum
    error = outward(lipschitz * before + products)
    return outward(error + transform_error(side, outputs, outward(lipschitz * norm + error), arithmetic))


def symbols_error(kernel: Tensor, arithmetic: Arithmetic) -> float:
    """A bound on the l2 norm of all errors of :func:`symbol_blocks`, real and imaginary parts counted once."""
    outputs, inputs, side, _ = kernel.shape
    norm = length_bound(kernel)
    error = transform_error(side, outputs * inputs, norm, arithmetic)
    # The factor n, or n / sqrt(2), is off by 4 roundings; one more for the product, and its underflow.
    flushed = 4 * side**2 * math.sqrt(outputs * inputs) * arithmetic.smallest
    return outward(side * (error + arithmetic.gamma(6) * (norm + error)) + flushed)


def transform_error(side: int, images: int, norm: float, arithmetic: Arithmetic) -> float:
    """A bound on the error of :func:`transform` or :func:`inverse_transform` of images of this l2 norm together."""
    rows, columns = along_rows(side), along_columns(side)
    off = arithmetic.unit_roundoff + TABLE_ROUNDOFFS * FLOAT64.unit_roundoff
    error = 0.0
    # Both directions, each with the larger number of products: the order of the passes makes no difference.
    for table in (rows, columns):
        moved = off * math.sqrt(table.numel())
        length = norm + error
        count = images * 2 * side * half_spectrum(side)
        local = arithmetic.products(2 * side + 2, absolute_bound(table) + moved, length, count)
        error = outward(error + local + moved * length)
    return error


def _largest_schur(blocks: Tensor) -> float:
    """An upper bound on || |B| ||_2 over a batch of matrices: the root of largest row sum times largest column sum."""
    sums = blocks.abs()
    rows, columns = sums.sum(2).amax(1), sums.sum(1).amax(1)
    return outward(float((rows.sqrt() * columns.sqrt()).max()) * (1 + 1e-9))
