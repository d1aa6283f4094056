"""Matrices as characters: ink for magnitude, another kind of ink for negative entries, so that no colour is needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

POSITIVE = "░▒▓█"
NEGATIVE = "-=x#"
"""From 1/16, 1/8, 1/4 and 1/2 of the scale."""

SMALL, ZERO, UNKNOWN = ".", " ", "?"

SMALLEST_TILE = (4, 8)
"""Rows and columns; where all taps together would have less each, one is shown at a time."""


def level(values: NDArray[np.float32], scale: float) -> NDArray[np.int8]:
    """0 for zero, ±1 below 1/16 of the scale, ±2 to ±5 from 1/16, 1/8, 1/4, 1/2; -128 for NaN.

    >>> level(np.array([0.0, 0.01, -0.0625, 0.3, 1.0, np.nan], np.float32), 1.0).tolist()
    [0, 1, -2, 4, 5, -128]
    """
    unknown = np.isnan(values)
    known = np.where(unknown, 0, values).astype(np.float64)
    steps = np.zeros(values.shape, np.int8)
    for share in (0.0, 1 / 16, 1 / 8, 1 / 4, 1 / 2):
        steps += (np.abs(known) >= share * scale) & (known != 0)
    return np.where(unknown, np.int8(-128), np.where(known < 0, -steps, steps)).astype(np.int8)


def character(step: int) -> str:
    """The character of a level.

    >>> [character(step) for step in (-128, -5, -2, -1, 0, 1, 2, 5)]
    ['?', '#', '-', '.', ' ', '.', '░', '█']
    """
    if step == -128:
        return UNKNOWN
    if abs(step) < 2:
        return SMALL if step else ZERO
    return POSITIVE[step - 2] if step > 0 else NEGATIVE[-step - 2]


@dataclass(frozen=True)
class Tile:
    """How one matrix is drawn."""

    block: tuple[int, int]  # rows and columns of entries that one character stands for
    wide: int  # columns of the terminal for each: 2 where that makes squares


def tile(shape: tuple[int, int], rows: int, columns: int) -> Tile:
    """The finest drawing of a matrix in ``rows`` x ``columns`` of the terminal.

    >>> tile((32, 32), 16, 80), tile((32, 32), 40, 40), tile((100, 10), 10, 80)
    (Tile(block=(2, 1), wide=2), Tile(block=(1, 1), wide=1), Tile(block=(10, 1), wide=2))
    """
    down, across = -(-shape[0] // max(rows, 1)), -(-shape[1] // max(columns, 1))
    doubled = -(-shape[1] // max(columns // 2, 1))
    return Tile((down, doubled), 2) if columns > 1 and doubled <= down else Tile((down, across), 1)


def together(shape: tuple[int, int], grid: tuple[int, int], rows: int, columns: int) -> Tile | None:
    """The drawing of all taps beside and above one another, lines between them; None where each would be too small.

    >>> together((32, 32), (3, 3), 38, 116), together((32, 32), (3, 3), 10, 40)
    (Tile(block=(3, 2), wide=2), None)
    """
    tall, wide = (rows - grid[0] + 1) // grid[0], (columns - grid[1] + 1) // grid[1]
    if tall < min(SMALLEST_TILE[0], shape[0]) or wide < min(SMALLEST_TILE[1], shape[1]):
        return None
    return tile(shape, tall, wide)
