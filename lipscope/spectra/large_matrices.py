"""A bound and the singular values of a matrix that is read from its file a slab at a time.

Only the Gram matrix G of the smaller side is held: G = sum over slabs A_k A_k^T. The bound is the proof of
:mod:`lipscope.bounds.matrix` for G, the rounding of the sum included; the singular values are the roots of G's
eigenvalues. Where even G would be too large, the smaller side is cut into b blocks, ||A||^2 <= sum_k ||A_k||^2, which
is at most a factor of sqrt(b) loose.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lipscope.bounds.matrix import largest_eigenvalue_bound
from lipscope.bounds.rounding import gamma, scaled, up
from lipscope.records import Bound
from lipscope.spectra.reading import StoredMatrix
from lipscope.spectra.singular_values import GramValues, measure_gram

GRAM_BYTES = 2**29
"""The largest Gram matrix that is formed: 8,192 rows. The proof holds three of them at a time."""


@dataclass(frozen=True)
class LargeMatrix:
    """What is found of a matrix.

    Args:
        bound: on its norm; not proved where a number is not finite.
        measured: its singular values, where its Gram matrix fits.
    """

    bound: Bound
    measured: GramValues | None


def analyse_matrix(matrix: StoredMatrix) -> LargeMatrix:
    """Read the matrix twice: for its largest number, and for its Gram matrix.

    Raises:
        CheckpointError: the file has changed.
    """
    largest = 0.0
    for part in matrix.parts():
        if not bool(torch.isfinite(part).all()):
            return LargeMatrix(Bound.unproved("holds NaN or infinite values"), None)
        largest = max(largest, float(part.abs().max()))
    if largest == 0.0:
        return LargeMatrix(Bound(0.0, "all its numbers are zero"), None)
    exponent = math.frexp(largest)[1]
    side = min(matrix.shape)
    blocks = -(-side // math.isqrt(GRAM_BYTES // 8))
    edges = [side * block // blocks for block in range(blocks + 1)]
    squares, gram = [], torch.empty(0)
    for first, last in itertools.pairwise(edges):
        gram, terms = _gram(matrix, exponent, first, last)
        squares.append(_squared_norm(gram, terms))
    total = squares[0] if blocks == 1 else up(math.fsum(squares), 2)
    value = up(scaled(up(math.sqrt(total), 2), exponent))
    if blocks > 1:
        return LargeMatrix(Bound(value, f"norms of {blocks} blocks by Cholesky, up to sqrt({blocks}) loose"), None)
    return LargeMatrix(Bound(value, "matrix norm by Cholesky"), measure_gram(gram, 2.0**exponent))


def _gram(matrix: StoredMatrix, exponent: int, first: int, last: int) -> tuple[Tensor, int]:
    """Of the lines ``first`` to ``last`` of the smaller side, all numbers divided by 2^exponent.

    Returns:
        G, and how many additions a product goes through at most: those of its slab, and one a slab.
    """
    rows, columns = matrix.shape
    gram = torch.zeros(last - first, last - first, dtype=torch.float64)
    half = -exponent // 2
    longest = slabs = 0
    for part in matrix.parts():
        lines = part.mT if rows >= columns else part
        # In two steps, because 2^-e itself may lie outside float64.
        block = lines[first:last] * 2.0**half * 2.0 ** (-exponent - half)
        gram += block @ block.mT
        longest, slabs = max(longest, block.shape[1]), slabs + 1
    return gram, longest + slabs


def _squared_norm(gram: Tensor, terms: int) -> float:
    """A bound on the squared norm of the matrix whose Gram matrix was summed up by so many additions a product."""
    rows = len(gram)
    if not bool(gram.any()):
        return 0.0
    trace = up(float(gram.trace()) * (1 + 2 * gamma(terms + rows)), 3)
    return largest_eigenvalue_bound(gram.unsqueeze(0), gamma(terms) * trace, trace)
