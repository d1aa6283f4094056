"""The independent truth: dense matrices built entry by entry, and norms compared in exact arithmetic.

Nothing here uses lipscope, torch's convolutions or a Fourier transform.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def zero_padded_matrix(
    kernel: Matrix, height: int, width: int, padding: tuple[int, int] | None = None, stride: int = 1
) -> Matrix:
    """The matrix of a convolution as deep learning writes it: out[p] = sum_a K[a] in[p s + a - padding].

    Args:
        kernel: (out, in, h, w).
        padding: rows and columns of zeros on each side; half the kernel where not given.
    """
    out, channels, kernel_height, kernel_width = kernel.shape
    top, left = padding if padding is not None else (kernel_height // 2, kernel_width // 2)
    rows = (height + 2 * top - kernel_height) // stride + 1
    columns = (width + 2 * left - kernel_width) // stride + 1
    matrix = np.zeros((out, rows, columns, channels, height, width))
    for y in range(rows):
        for x in range(columns):
            for a in range(kernel_height):
                for b in range(kernel_width):
                    row, column = y * stride + a - top, x * stride + b - left
                    if 0 <= row < height and 0 <= column < width:
                        matrix[:, y, x, :, row, column] += kernel[:, :, a, b]
    return matrix.reshape(out * rows * columns, channels * height * width)


def circular_matrix(kernel: Matrix, height: int, width: int) -> Matrix:
    """The matrix of the circular convolution; taps that meet after wrapping add up."""
    out, channels, kernel_height, kernel_width = kernel.shape
    matrix = np.zeros((out, height, width, channels, height, width))
    for y in range(height):
        for x in range(width):
            for a in range(kernel_height):
                for b in range(kernel_width):
                    matrix[:, y, x, :, (y + a) % height, (x + b) % width] += kernel[:, :, a, b]
    return matrix.reshape(out * height * width, channels * height * width)


def strided_circular_matrix(
    kernel: Matrix, height: int, width: int, before: int, stride: int, groups: int = 1, dilation: int = 1
) -> Matrix:
    """Out[p] = sum_a K[a] in[p s + a d - before], rows and columns modulo the image, each group on its own.

    Args:
        kernel: (out, in / groups, k, k).
    """
    out, inputs, taps, _ = kernel.shape
    rows, columns = height // stride, width // stride
    matrix = np.zeros((out, rows, columns, inputs * groups, height, width))
    for o in range(out):
        first = o // (out // groups) * inputs
        for y, x, a, b in np.ndindex(rows, columns, taps, taps):
            row = (y * stride + a * dilation - before) % height
            column = (x * stride + b * dilation - before) % width
            matrix[o, y, x, first : first + inputs, row, column] += kernel[o, :, a, b]
    return matrix.reshape(out * rows * columns, inputs * groups * height * width)


def unshuffle_matrix(channels: int, height: int, width: int, factor: int) -> Matrix:
    """The permutation (c, y, x) -> ((c, row in block, column in block), block row, block column)."""
    size = channels * height * width
    matrix = np.zeros((size, size))
    inputs = np.arange(size).reshape(channels, height, width)
    target = 0
    for c in range(channels):
        for row in range(factor):
            for column in range(factor):
                for y in range(height // factor):
                    for x in range(width // factor):
                        matrix[target, inputs[c, y * factor + row, x * factor + column]] = 1.0
                        target += 1
    return matrix


def series(matrix: Matrix, terms: int) -> Matrix:
    """sum_{k <= n} A^k / k!, by Horner's rule."""
    identity = np.eye(len(matrix))
    total = identity.copy()
    for k in range(terms, 0, -1):
        total = identity + matrix @ total / k
    return total


def norm(matrix: Matrix) -> float:
    """The spectral norm as LAPACK sees it, a few units in the last place from the truth."""
    return float(np.linalg.norm(matrix, 2)) if matrix.size else 0.0


ROUNDING = 1e-13
"""What LAPACK's singular values can be off by, relatively, on the small matrices of these tests."""


def covers(bound: float, matrix: Matrix) -> bool:
    """Whether the bound is at least the norm, up to the rounding of the norm itself."""
    return bound >= norm(matrix) * (1 - ROUNDING)


def exactly_covers(bound: float, matrix: NDArray[np.float64] | NDArray[np.complex128]) -> bool:
    """Whether bound >= ||A||, decided in rational arithmetic: b^2 I - A A^T has no negative pivot."""
    if math.isinf(bound):
        return True
    if np.iscomplexobj(matrix):
        matrix = np.block([[matrix.real, -matrix.imag], [matrix.imag, matrix.real]])
    rows = [[Fraction(float(entry)) for entry in row] for row in matrix]
    square = Fraction(bound) ** 2
    rest = [[(square if i == j else 0) - _dot(a, b) for j, b in enumerate(rows)] for i, a in enumerate(rows)]
    for k in range(len(rest)):
        pivot = rest[k][k]
        if pivot < 0:
            return False
        if pivot == 0:
            if any(rest[i][k] for i in range(k, len(rest))):
                return False
            continue
        for i in range(k + 1, len(rest)):
            factor = rest[i][k] / pivot
            for j in range(k, len(rest)):
                rest[i][j] -= factor * rest[k][j]
    return True


def _dot(a: list[Fraction], b: list[Fraction]) -> Fraction:
    return sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0))
