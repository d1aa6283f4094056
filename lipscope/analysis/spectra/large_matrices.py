"""A bound and the singular values of a matrix that is read from its file a slab at a time.

Only the Gram matrix G of the smaller side is held: G = sum over slabs A_k A_k^T. The bound is the proof of
:mod:`lipscope.bounds.triangle` for G, the rounding of the sum included. How G is held is told by the memory that the
matrix allows (:mod:`lipscope.analysis.spectra.memory`): as a whole, whose eigenvalues are the squares of all singular
values; as its lower triangle, which gives the extremes and the distribution by products with vectors; or, where not
even that fits, in blocks: the smaller side is cut into b parts, ||A||^2 <= sum_k ||A_k||^2, at most a factor of sqrt(b)
loose.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lipscope.analysis.reading import StoredMatrix
from lipscope.analysis.spectra.memory import Plan, plan_for
from lipscope.analysis.spectra.singular_values import (
    Measured,
    measure_gram,
    measure_gram_products,
    smallest_by_solves,
)
from lipscope.bounds.rounding import UNIT_ROUNDOFF, gamma, scaled, up
from lipscope.bounds.triangle import (
    Triangle,
    empty_triangle,
    factor_in_place,
    largest_eigenvalue_bound_in_place,
    solve,
    triangle_of,
)
from lipscope.records import Bound

UNCERTAIN = 1e-3
"""A residual of the smallest singular value, relative to the largest, beyond which it is computed by solves."""

SHARP = 1e-8
"""A residual of the largest eigenvalue, relative to it, up to which the proof takes it as it is."""


@dataclass(frozen=True)
class LargeMatrix:
    """What is found of a matrix.

    Args:
        bound: on its norm; not proved where a number is not finite.
        measured: its singular values, where its Gram matrix fits.
    """

    bound: Bound
    measured: Measured | None


def analyse_matrix(matrix: StoredMatrix, *, values: bool = True) -> LargeMatrix:
    """Read the matrix for its largest number, and then for its Gram matrix.

    Args:
        matrix: where it is.
        values: whether its singular values are wanted, not only the bound.

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
    plan = plan_for(matrix)
    side = min(matrix.shape)
    edges = [side * block // plan.blocks for block in range(plan.blocks + 1)]
    if plan.blocks == 1:
        total, measured = _whole(matrix, exponent, plan, values)
        method = "matrix norm by Cholesky" + (", held in float32" if plan.dtype == torch.float32 else "")
    else:
        parts = [_Gram(matrix, exponent, plan, *block) for block in itertools.pairwise(edges)]
        total = up(math.fsum(largest_eigenvalue_bound_in_place(part.triangle) for part in parts), 2)
        measured = None
        method = f"norms of {plan.blocks} blocks by Cholesky, up to sqrt({plan.blocks}) loose"
    return LargeMatrix(Bound(up(scaled(up(math.sqrt(total), 2), exponent)), method), measured)


def _whole(matrix: StoredMatrix, exponent: int, plan: Plan, values: bool) -> tuple[float, Measured | None]:
    """A bound on the squared norm of the matrix divided by 2^exponent, and the singular values of the matrix."""
    gram = _Gram(matrix, exponent, plan, 0, min(matrix.shape))
    if not values:
        return largest_eigenvalue_bound_in_place(gram.triangle), None
    scale = 2.0**exponent
    triangle, error = gram.triangle()
    held = [(triangle, error)]
    if triangle.whole is not None:
        measured = measure_gram(triangle.whole, scale)
        around = 0.0
    else:
        measured = measure_gram_products(triangle.rows, triangle.times, scale, error)
        around = 2 * (measured.largest.value / scale) * ((measured.largest.residual or 0.0) / scale)
        if plan.dtype == torch.float64 and (measured.smallest.residual or 0.0) > UNCERTAIN * measured.largest.value:
            held.clear()
            measured = _with_smallest(measured, triangle, error, scale)
        values_above = tuple(max(value, measured.smallest.value) for value in measured.spectrum.values)
        measured = replace(measured, spectrum=replace(measured.spectrum, values=values_above))
    del triangle
    top = (measured.largest.value / scale) ** 2
    # Handed over, not kept: the proof overwrites it, and forms it anew in the rare case that it has to.
    bound = largest_eigenvalue_bound_in_place(
        lambda: held.pop() if held else gram.triangle(), top + around if around <= SHARP * top else None
    )
    return bound, measured


def _with_smallest(measured: Measured, triangle: Triangle, error: float, scale: float) -> Measured:
    """The smallest singular value better than products find it; the triangle is overwritten.

    Where not even G + s I is positive definite in float64 the values stay as they are.
    """
    shift = 16 * triangle.rows * UNIT_ROUNDOFF * (measured.largest.value / scale) ** 2
    if not factor_in_place(triangle, shift, sign=1):
        return measured
    found = smallest_by_solves(triangle.rows, lambda v: solve(triangle, v), shift, shift + error, scale)
    values = (*measured.spectrum.values[:-1], found.value)
    return Measured(replace(measured.spectrum, values=values), measured.largest, found)


@dataclass(frozen=True)
class _Gram:
    """The Gram matrix of the lines ``first`` to ``last`` of the smaller side, all numbers divided by 2^exponent."""

    matrix: StoredMatrix
    exponent: int
    plan: Plan
    first: int
    last: int

    def triangle(self) -> tuple[Triangle, float]:
        """Its lower triangle, and a bound on the spectral norm of the difference to the true one."""
        rows = self.last - self.first
        if self.plan.dense:
            triangle = triangle_of(torch.zeros(rows, rows, dtype=torch.float64))
        else:
            triangle = empty_triangle(rows, self.plan.dtype)
        terms, rounded = self._fill(triangle)
        # What the diagonal has lost by rounding, in float64 and when stored.
        trace = up(triangle.trace * (1 + 2 * gamma(terms + rows) + 2 * triangle.unit_roundoff), 3)
        return triangle, up(gamma(terms) * trace + rounded, 2)

    def _fill(self, triangle: Triangle) -> tuple[int, float]:
        """Sum up the slabs, as many panels in one reading of the file as the plan has room for.

        Returns:
            how many additions a product goes through at most: those of its slab, and one a slab; and a bound on the
            Frobenius norm of what storage has rounded off.
        """
        terms, squares, entries = 0, 0.0, 0
        exactly = self.plan.dtype == torch.float64
        # One piece of memory for all groups: many of shrinking sizes would leave gaps behind.
        first = triangle.panels[: self.plan.panels]
        space = torch.empty(0 if exactly else sum(panel.numel() for panel in first), dtype=torch.float64)
        for begin in range(0, len(triangle.panels), self.plan.panels):
            group = triangle.panels[begin : begin + self.plan.panels]
            sums = group if exactly else _views(space.zero_(), group)
            start = sum(panel.shape[1] for panel in triangle.panels[:begin])
            terms = max(terms, self._add_slabs(sums, start))
            for panel, exact in zip(group, sums, strict=True):
                if panel is not exact:
                    panel.copy_(exact)
                    squares += 2 * float(torch.linalg.vector_norm(exact.sub_(panel))) ** 2
                    entries += 2 * exact.numel()
        return terms, up(math.sqrt(squares) * (1 + gamma(entries + 64)), 4)

    def _add_slabs(self, panels: tuple[Tensor, ...], start: int) -> int:
        rows, columns = self.matrix.shape
        half = -self.exponent // 2
        longest = slabs = 0
        for part in self.matrix.parts():
            lines = part.mT if rows >= columns else part
            # In two steps, because 2^-e itself may lie outside float64.
            block = lines[self.first + start : self.last].mul_(2.0**half).mul_(2.0 ** (-self.exponent - half))
            at = 0
            for panel in panels:
                width = panel.shape[1]
                panel.addmm_(block[at:], block[at : at + width].mT)
                at += width
            longest, slabs = max(longest, block.shape[1]), slabs + 1
        return longest + slabs


def _views(space: Tensor, panels: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Parts of the space in the shapes of the panels."""
    ends = list(itertools.accumulate(panel.numel() for panel in panels))
    return tuple(space[end - panel.numel() : end].view(panel.shape) for end, panel in zip(ends, panels, strict=True))
