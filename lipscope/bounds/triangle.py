"""A proved upper bound on the largest eigenvalue of a symmetric matrix that is held once, as its lower triangle.

As in :mod:`lipscope.bounds.matrix` the proof is a Cholesky factorisation that runs to completion, here panel by panel
in the place of the matrix itself, so that nothing of its size is held beside it. The triangle may be stored in float32;
the arithmetic is float64 throughout.

With the panel k of columns, D_k its diagonal block and B_k what lies below, H = s I - G is factored left to right:

    C = H_k - sum_{j<k} L_j L_j^T,   D_k D_k^T = C (the diagonal block),   B_k D_k^T = C (below),

and D_k is rounded to storage *before* it divides C, B_k afterwards. Three errors separate L L^T from H:

- **float64**: each entry is a sum of at most m products in some order, a root or a quotient, so it satisfies
  |E| <= gamma_{m+1} |L| |L|^T entry by entry (Higham, lemma 8.4 and theorem 10.3: for every order of the sums). The
  norm is at most gamma_{m+1} ||L||_F^2, and ||L||_F^2 <= tr H / (1 - gamma_{m+1}) <= m s / (1 - gamma_{m+1});
- **storage** with unit roundoff v: D_k and B_k change by at most v entry by entry, L_k L_k^T therefore by (change of
  B_k) D_k^T below the diagonal, in Frobenius norm at most v ||D_k||_2 ||B_k||_F, and within the block by at most
  2 v ||D_k||_2 ||D_k||_F up to a factor of 1 + v. D_k D_k^T is H's block minus squares, so ||D_k||_2^2 is at most
  s, the error of G and a little; together both triangles change by at most 2 v sqrt(s) ||L||_F <= 2 v sqrt(m) s;
- **s - G_ii** is rounded once: at most u (s + G_ii).

L L^T >= 0, so G <= (s + the three) I.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lipscope.bounds.rounding import UNIT_ROUNDOFF, gamma, up

PANEL = 128
"""Columns of a panel."""

STEPS, RESIDUAL = 400, 1e-10
"""Most steps of Lanczos for the shift, and the residual relative to the eigenvalue that ends them."""

NEGLIGIBLE = 2.0**-90
"""Up to this trace nothing is factored, so that underflow cannot matter."""

LITTLE = 1.01
"""More than every factor 1 + gamma_m and 1 + v met in the proof, and than entries that underflow when stored."""


@dataclass(frozen=True)
class Triangle:
    """A symmetric matrix G as its lower triangle.

    Args:
        panels: the columns [0, 128), [128, 256), ..., each (rows from its diagonal down, columns), float64 or float32;
            what lies above the diagonal is not read.
        whole: (m, m) the matrix that they are views of, if they are.
    """

    panels: tuple[Tensor, ...]
    whole: Tensor | None = None

    @property
    def rows(self) -> int:
        """M."""
        return len(self.panels[0])

    @property
    def unit_roundoff(self) -> float:
        """v: what an entry may err by when it is stored, relative to itself; 0 in float64."""
        return 0.0 if self.panels[0].dtype == torch.float64 else 2.0**-24

    @property
    def trace(self) -> float:
        """The sum of the diagonal, rounded up; of a matrix whose diagonal is not negative."""
        parts = [float(panel.diagonal().double().sum()) for panel in self.panels]
        return up(math.fsum(parts) * (1 + gamma(self.rows + 8)), 3)

    def times(self, vectors: Tensor) -> Tensor:
        """(n, m) to (n, m): G v for every row v."""
        result = torch.zeros_like(vectors)
        start = 0
        for stored in self.panels:
            width = stored.shape[1]
            panel = stored.to(vectors.dtype)
            square = panel[:width].tril()
            here, below = vectors[:, start : start + width], vectors[:, start + width :]
            result[:, start : start + width] += here @ (square + square.tril(-1).mT) + below @ panel[width:]
            result[:, start + width :] += here @ panel[width:].mT
            start += width
        return result


def empty_triangle(rows: int, dtype: torch.dtype) -> Triangle:
    """A triangle of zeros, in one piece of memory that is given back as a whole."""
    shapes = [(rows - start, min(PANEL, rows - start)) for start in range(0, rows, PANEL)]
    sizes = [math.prod(shape) for shape in shapes]
    parts = torch.zeros(sum(sizes), dtype=dtype).split(sizes)
    return Triangle(tuple(part.view(shape) for part, shape in zip(parts, shapes, strict=True)))


def triangle_of(matrix: Tensor) -> Triangle:
    """The lower triangle of a matrix (m, m), in the same memory."""
    starts = range(0, len(matrix), PANEL)
    return Triangle(tuple(matrix[start:, start : start + PANEL] for start in starts), matrix)


def largest_eigenvalue_bound_in_place(
    make: Callable[[], tuple[Triangle, float]], estimate: float | None = None
) -> float:
    """An upper bound on the largest eigenvalue of a positive semidefinite matrix G; its triangle is overwritten.

    Args:
        make: forms the triangle, with a bound on the spectral norm of its difference to G, storage included; called
            again if a factorisation fails. No number on its diagonal is negative.
        estimate: of the largest eigenvalue of the triangle, rather too large than too small; by Lanczos where not
            given.
    """
    triangle, error = make()
    rows, stored = triangle.rows, triangle.unit_roundoff
    trace = triangle.trace
    if trace <= NEGLIGIBLE:
        return up(NEGLIGIBLE + error)
    # At least the mean of the eigenvalues, so that a shift of nothing cannot be tried for ever.
    largest = max(_largest_eigenvalue(triangle) if estimate is None else estimate, trace / (2 * rows))
    by_storage = up(2 * stored * math.sqrt(rows) * LITTLE, 4)
    slack = 8 * rows * UNIT_ROUNDOFF + by_storage
    while not factor_in_place(triangle, shift := largest * (1 + slack)):
        # The estimate was too low, by rounding or by luck.
        slack *= 64
        del triangle
        triangle, error = make()
    # Twice what the theorem asks for: a quotient may be a product with a reciprocal.
    arithmetic = gamma(2 * (rows + 8))
    factorisation = (arithmetic / (1 - arithmetic)) * rows * shift * LITTLE
    return up(shift + factorisation + by_storage * (shift + error) + error + 2 * UNIT_ROUNDOFF * (shift + trace), 8)


def factor_in_place(triangle: Triangle, shift: float, sign: int = -1) -> bool:
    """Put the Cholesky factor of shift I - G in the place of G; false, and G is lost, if it meets a negative pivot.

    Args:
        triangle: of G.
        shift: s.
        sign: 1 for shift I + G.
    """
    start = 0
    for k, stored in enumerate(triangle.panels):
        width = stored.shape[1]
        panel = sign * stored.to(torch.float64)
        panel.diagonal().add_(shift)
        before = 0
        for done in triangle.panels[:k]:
            left = done[start - before :].to(torch.float64)
            panel.addmm_(left, left[:width].mT, alpha=-1)
            before += done.shape[1]
        square, info = torch.linalg.cholesky_ex(panel[:width])
        if int(info) != 0:
            return False
        stored[:width] = square
        square = stored[:width].to(torch.float64)
        pivots = square.diagonal()
        # Underflow, overflow or NaN, which a later pivot would not show if this is the last.
        if not bool((torch.isfinite(pivots) & (pivots > 0)).all()):
            return False
        stored[width:] = torch.linalg.solve_triangular(square.mT, panel[width:], upper=True, left=False)
        start += width
    return True


def solve(factor: Triangle, vectors: Tensor) -> Tensor:
    """(n, m) to (n, m): (L L^T)^-1 v for every row v, L being a factor as :func:`factor_in_place` leaves it."""
    result = vectors.clone()
    starts = list(itertools.accumulate((panel.shape[1] for panel in factor.panels), initial=0))
    for start, stored in zip(starts, factor.panels, strict=False):
        panel = stored.to(vectors.dtype)
        end = start + panel.shape[1]
        square = panel[: end - start]
        result[:, start:end] = torch.linalg.solve_triangular(square.mT, result[:, start:end], upper=True, left=False)
        result[:, end:] -= result[:, start:end] @ panel[end - start :].mT
    for start, stored in zip(reversed(starts[:-1]), reversed(factor.panels), strict=True):
        panel = stored.to(vectors.dtype)
        end = start + panel.shape[1]
        square = panel[: end - start]
        result[:, start:end] -= result[:, end:] @ panel[end - start :]
        result[:, start:end] = torch.linalg.solve_triangular(square, result[:, start:end], upper=False, left=False)
    return result


def _largest_eigenvalue(triangle: Triangle) -> float:
    """The largest Ritz value after some steps of Lanczos, and its residual on top.

    Without reorthogonalisation: ghosts of the largest eigenvalue do no harm.
    """
    vector = torch.randn(1, triangle.rows, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    vector /= torch.linalg.vector_norm(vector)
    before, norm = torch.zeros_like(vector), 0.0
    diagonal: list[float] = []
    coupling: list[float] = []
    value = residual = math.inf
    for step in range(1, STEPS + 1):
        image = triangle.times(vector) - norm * before
        diagonal.append(float((vector * image).sum()))
        image = image - diagonal[-1] * vector
        norm = float(torch.linalg.vector_norm(image))
        coupling.append(norm)
        small = norm <= 1e-14 * max(diagonal)
        if step % 20 == 0 or small or step == STEPS:
            off = torch.tensor(coupling[:-1], dtype=torch.float64)
            main = torch.tensor(diagonal, dtype=torch.float64)
            values, vectors = torch.linalg.eigh(torch.diag(main) + torch.diag(off, 1) + torch.diag(off, -1))
            value, residual = float(values[-1]), norm * abs(float(vectors[-1, -1]))
            if small or residual <= RESIDUAL * value:
                break
        before, vector = vector, image / norm
    return value + residual
