"""An own histogram of eighth blocks, and nice ticks: pure numpy, counts in, strings out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lipscope.tui.plots.bars import BLOCKS
from lipscope.tui.plots.range import Range


def bin_counts(values: ArrayLike, over: Range, columns: int, weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """How many values fall into each of ``columns`` equal bins (columns,); values outside count in the end bins.

    >>> bin_counts([0.1, 0.6, 0.7, 1.0], Range(0.0, 1.0), 2)
    array([1., 3.])
    """  # fmt: skip
    scaled = (np.asarray(values, dtype=np.float64) - over.low) * (columns / (over.high - over.low))
    index = np.clip(np.floor(scaled), 0, columns - 1).astype(np.intp)
    counts = np.bincount(index, None if weights is None else np.asarray(weights, np.float64), minlength=columns)
    return counts.astype(np.float64)


def heights(counts: ArrayLike, rows: int, *, log: bool = False) -> NDArray[np.int64]:
    """The height of each bar in eighths of a row; whatever is not zero is at least one eighth high.

    Linear bars are count / largest; logarithmic ones log(1 + count) / log(1 + largest).
    """
    amounts = np.asarray(counts, dtype=np.float64)
    if log:
        amounts = np.log1p(amounts)
    largest = amounts.max(initial=0.0)
    if largest == 0:
        return np.zeros(amounts.shape, dtype=np.int64)
    eighths = np.rint(amounts / largest * (8 * rows)).astype(np.int64)
    return np.where(amounts > 0, np.maximum(eighths, 1), 0)


def histogram(counts: ArrayLike, rows: int, *, log: bool = False) -> list[str]:
    """The bars as ``rows`` strings, top row first, one column per count.

    >>> histogram([0, 1, 2, 4], 2)
    ['   █', ' ▄██']
    """
    eighths = heights(counts, rows, log=log)
    levels = np.clip(eighths[None, :] - 8 * np.arange(rows - 1, -1, -1)[:, None], 0, 8)
    return ["".join(BLOCKS[level] for level in row) for row in levels.tolist()]


def nice_ticks(over: Range, most: int) -> list[float]:
    """At most ``most`` multiples of 1, 2 or 5 times a power of ten inside the range, and at least one if it can.

    >>> nice_ticks(Range(0.0, 1.13), 4)
    [0.0, 0.5, 1.0]
    """
    span = over.high - over.low
    step = 10.0 ** math.floor(math.log10(span / max(most, 1)))
    for factor in (1, 2, 5, 10, 20, 50, 100):
        ticks = _multiples(over, step * factor)
        if len(ticks) <= most:
            return ticks
    return []


def _multiples(over: Range, step: float) -> list[float]:
    slack = 1e-9
    first = math.ceil(over.low / step - slack)
    last = math.floor(over.high / step + slack)
    return [round(k * step, 12 - math.floor(math.log10(step))) for k in range(first, last + 1)]


def graduated(up: Range, rows: int, most: int) -> tuple[Range, list[float]]:
    """A range around another in which round numbers lie whole rows apart: two or three, or at most ``most``.

    As many as can be without much room left unused.

    >>> graduated(Range(0.0, 1.0), 7, 3)[1], graduated(Range(1.47, 3.41), 7, 2)[1]
    ([0.0, 0.5, 1.0], [2.0, 3.0])
    """
    span, found = up.high - up.low, list[tuple[float, Range, list[float]]]()
    power = math.floor(math.log10(span)) - 1
    for step in (factor * 10.0 ** (power + tens) for tens in range(3) for factor in (1, 2, 5)):
        for apart in range(int(rows * step / span), 0, -1):
            row = step / apart
            low = (math.floor(up.low / row) - 1e-6) * row  # so that each number surely is in the row above it
            over = Range(low, low + rows * row)
            if over.high <= up.high + 1e-6 * row or len(ticks := _multiples(over, step)) < 2:
                continue  # too short
            if len(ticks) <= max(most, 3):
                found.append((rows * row / span + FEW / len(ticks), over, ticks))
            break
    if not found:
        return up, nice_ticks(up, max(most, 2))
    return min(found, key=lambda one: one[0])[1:]


FEW = 0.7
"""How bad few numbers are, against a range that is longer than what is drawn in it."""


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """All ticks with the same number of decimals: as many as their distance needs.

    >>> tick_labels([0.0, 0.25, 0.5]), tick_labels([-2e-6, -1e-6, 0.0])
    (['0.00', '0.25', '0.50'], ['-2e-6', '-1e-6', '0'])
    """
    step = min((b - a for a, b in pairwise(ticks)), default=abs(ticks[0]) if ticks else 1.0)
    if step == 0:
        return ["0"] * len(ticks)
    if not 1e-4 <= step < 1e6:
        exponent = math.floor(math.log10(max(map(abs, ticks))) + 1e-9)
        scaled = [tick / 10.0**exponent for tick in ticks]
        decimals = _decimals(scaled)
        return [f"{value:.{decimals}f}e{exponent}" if value else "0" for value in scaled]
    decimals = _decimals(ticks)
    return [f"{tick:.{decimals}f}" for tick in ticks]


def _decimals(values: Sequence[float]) -> int:
    return next((d for d in range(6) if all(abs(v - round(v, d)) < 1e-9 for v in values)), 6)


def axis(over: Range, columns: int, *, whole: bool = False) -> tuple[str, str]:
    """The line under a plot and the labels under the line, both ``columns`` wide; with ``whole`` only whole numbers.

    >>> print(*axis(Range(0.0, 1.0), 21), sep="|")
    ┴─────────┴─────────┴|0.0      0.5      1.0
    """
    line, labels = ["─"] * columns, [" "] * columns
    ticks = [tick for tick in nice_ticks(over, max(columns // 9, 3)) if not whole or tick == round(tick)]
    free = 0
    for tick, label in zip(ticks, tick_labels(ticks), strict=True):
        at = over.column(tick, columns)
        start = min(max(at - len(label) // 2, 0), columns - len(label))
        line[at] = "┴"
        if start >= free:
            labels[start : start + len(label)] = label
            free = start + len(label) + 1
    return "".join(line), "".join(labels)


def axis_line(over: Range, columns: int, most: int) -> list[str]:
    """A rule with at most so many labels in it, each from its tick on: the axis in the heading of a list.

    >>> "".join(axis_line(Range(0.0, 2.0), 21, 3))
    '0─────────1─────────2'
    """
    line = ["─"] * columns
    ticks = nice_ticks(over, most)
    for tick, label in zip(ticks, tick_labels(ticks), strict=True):
        start = min(over.column(tick, columns), columns - len(label))
        line[start : start + len(label)] = label
    return line[:columns]


def count_labels(largest: float, rows: int, *, log: bool = False) -> list[str]:
    """Labels for the count axis, top row first: the largest count, and on a log axis the powers of ten below it.

    >>> count_labels(1000, 4, log=True)
    ['1,000', '  100', '   10', '    1']
    """
    labels = [""] * rows
    if log:
        power = 1
        while power < largest:
            row = rows - math.ceil(rows * math.log1p(power) / math.log1p(largest))
            labels[row] = labels[row] or f"{power:,}"
            power *= 10
    elif rows >= 6 and largest >= 4:
        labels[rows // 2] = f"{largest / 2:,.0f}" if largest % 2 == 0 else ""
    labels[0] = f"{largest:,.0f}"
    width = max(map(len, labels))
    return [label.rjust(width) for label in labels]


def spectrum_axis(values: NDArray[np.float64]) -> tuple[Range, bool]:
    """The axis for singular values, 1 always on it, and whether it is of the deviation from 1 (a tiny spread).

    >>> spectrum_axis(np.array([0.999999, 1.0]))[1], spectrum_axis(np.array([0.2, 0.9]))[1]
    (True, False)
    """
    low, high = float(min(values.min(initial=1.0), 1.0)), float(max(values.max(initial=1.0), 1.0))
    spread = high - low
    if spread < 1e-3:
        margin = max(0.1 * spread, 1e-8)
        return Range(low - 1 - margin, high - 1 + margin), True
    margin = 0.04 * spread
    return Range(max(low - margin, 0.0), high + margin), False
