"""Curves as dots of braille, two across and four down a cell: pure numpy, numbers in, characters out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipscope.tui.plots.range import Range

DOT = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bit of each dot of a cell, by its row and column."""

Floats = NDArray[np.float64]
Dots = NDArray[np.bool_]
"""(4 rows, 2 columns) of the cells, row 0 on top."""


def rows_of(y: Floats, up: Range, rows: int) -> NDArray[np.intp]:
    """The row of dots that holds each value, of ``4 * rows``, 0 on top; beyond the range the first or the last.

    >>> rows_of(np.array([0.0, 0.5, 1.0]), Range(0.0, 1.0), 1).tolist()
    [3, 1, 0]
    """
    share = (y - up.low) / (up.high - up.low)
    found: NDArray[np.intp] = np.clip(4 * rows - 1 - np.floor(share * 4 * rows), 0, 4 * rows - 1).astype(np.intp)
    return found


def points(x: Floats, y: Floats, across: Range, up: Range, columns: int, rows: int) -> Dots:
    """One dot for each pair inside both ranges."""
    dots = np.zeros((4 * rows, 2 * columns), np.bool_)
    inside = (x >= across.low) & (x <= across.high) & (y >= up.low) & (y <= up.high)
    share = (x[inside] - across.low) / (across.high - across.low)
    places = np.clip(np.floor(share * 2 * columns), 0, 2 * columns - 1).astype(np.intp)
    dots[rows_of(y[inside], up, rows), places] = True
    return dots


def line(
    x: Floats, y: Floats, across: Range, up: Range, columns: int, rows: int, *, step: bool = False, gap: int = 0
) -> Dots:
    """A curve without holes through finite points of ascending ``x``.

    With ``step`` each value holds up to the next ``x``; ``gap`` dots are left out after as many drawn.

    >>> braille(line(np.array([0.0, 1.0]), np.array([0.0, 1.0]), Range(0, 1), Range(0, 1), 2, 1))
    ['⡠⠊']
    """
    dots = np.zeros((4 * rows, 2 * columns), np.bool_)
    if not len(x):
        return dots
    at = across.low + (np.arange(2 * columns) + 0.5) / (2 * columns) * (across.high - across.low)
    half = (across.high - across.low) / (4 * columns)
    seen = np.flatnonzero((at >= x[0] - half) & (at <= x[-1] + half))
    if not len(seen):
        return points(x, y, across, up, columns, rows)
    values = y[np.maximum(np.searchsorted(x, at[seen], side="right") - 1, 0)] if step else np.interp(at[seen], x, y)
    places = rows_of(values, up, rows)
    before = np.concatenate([places[:1], places[:-1]])
    for column, row, last in zip(seen.tolist(), places.tolist(), before.tolist(), strict=True):
        if gap and column // gap % 2:
            continue
        low, high = (row, row) if row == last else ((last + 1, row) if last < row else (row, last - 1))
        dots[low : high + 1, column] = True
    return dots


def braille(dots: Dots) -> list[str]:
    """The rows of cells; a cell without a dot is a space.

    >>> braille(np.array([[1, 0], [0, 0], [0, 0], [0, 1]], bool))
    ['⢁']
    """
    cells = dots.reshape(dots.shape[0] // 4, 4, dots.shape[1] // 2, 2)
    bits = np.einsum("rick,ik->rc", cells, DOT)
    return ["".join(chr(0x2800 + bit) if bit else " " for bit in row) for row in bits.tolist()]
