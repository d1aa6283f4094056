"""Matrices with singular values that are known because they were put there."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lipscope.layers.contract import LinearOperator

Matrix = NDArray[np.float64]


def orthonormal(rows: int, columns: int, random: np.random.Generator) -> Matrix:
    """(rows, columns) with orthonormal columns."""
    return np.linalg.qr(random.normal(size=(rows, columns)))[0]


def with_singular_values(values: Matrix, rows: int, columns: int, seed: int = 0) -> Matrix:
    """U diag(values) V^T with random U and V."""
    random = np.random.default_rng(seed)
    left, right = orthonormal(rows, len(values), random), orthonormal(columns, len(values), random)
    return (left * values) @ right.T


def operator(matrix: Matrix) -> LinearOperator:
    """Products with the matrix, written down here."""
    tensor = torch.from_numpy(np.ascontiguousarray(matrix))
    return LinearOperator(
        matrix.shape,
        lambda vectors: (tensor @ vectors.T).T,
        lambda vectors: (tensor.T @ vectors.T).T,
        torch.float64,
    )


def families(count: int) -> dict[str, Matrix]:
    """Spectra of ``count`` values: spread, clustered, nearly orthogonal, with outliers, of low rank."""
    random = np.random.default_rng(count)
    low_rank = np.zeros(count)
    low_rank[: count // 4] = random.uniform(0.5, 2.0, count // 4)
    outliers = np.full(count, 0.5)
    outliers[:2] = 3.0, 2.5
    outliers[-1] = 0.01
    return {
        "spread": np.linspace(0.2, 1.0, count),
        "clustered": np.repeat([0.25, 0.5, 1.0], [count // 2, count // 4, count - count // 2 - count // 4]),
        "orthogonal": np.ones(count),
        "nearly orthogonal": 1 - 2.3e-6 * random.uniform(size=count),
        "outliers": outliers,
        "low rank": low_rank,
    }


SHAPES = {"square": (150, 150), "wide": (150, 210), "tall": (210, 150)}
