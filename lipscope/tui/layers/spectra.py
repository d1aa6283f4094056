"""What is drawn of a layer: its singular values as a histogram and as a falling curve, its angles. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lipscope.records import NEAR_ONE, Spectrum
from lipscope.tui.plots.blocks import spectrum_axis
from lipscope.tui.plots.range import Range
from lipscope.tui.widgets.chart import Drawing, Series, bars

POINTS = 2000
"""At most so many places of the curve."""


def measured(spectrum: Spectrum | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The finite singular values, and how many each stands for."""
    values = np.asarray(spectrum.values if spectrum is not None else [], np.float64)
    weights = np.asarray(spectrum.weights if spectrum is not None else [], np.float64)
    known = np.isfinite(values) & np.isfinite(weights) & (weights > 0)
    return values[known], weights[known]


def spectrum_bars(spectrum: Spectrum, *, log: bool = False) -> Drawing | None:
    """The histogram of a spectrum; None when it holds no finite value."""
    values, weights = measured(spectrum)
    if not len(values):
        return None
    over, deviation = spectrum_axis(values)
    style = "$warning" if np.abs(values - 1).max() > NEAR_ONE else "$success"
    return bars(
        values - deviation, weights, over, 1.0 - deviation, log=log, below=style, above=style, foot="σ = 1",
        caption="singular values, σ − 1 (estimates)" if deviation else "singular values σ (estimates)",
    )  # fmt: skip


def sorted_drawing(spectrum: Spectrum) -> Drawing | None:
    """The singular values over their rank, a line at 1; None where none is finite."""
    ranks, values = by_rank(spectrum, min(spectrum.size, POINTS) + 1)
    if not len(values):
        return None
    up, deviation = spectrum_axis(values)
    one = Series("σ − 1 =" if deviation else "σ =", ranks, values - 1 if deviation else values)
    return Drawing(
        Range(0.0, float(spectrum.size) or 1.0), [one], up, across_text="rank {:,.0f}".format, whole=True,
        level=0.0 if deviation else 1.0,
    )  # fmt: skip


def by_rank(spectrum: Spectrum, points: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ranks from 0 to the number of singular values, and the value that holds there, largest first.

    What is not finite is left out; its weights say how many singular values each of its values stands for.

    >>> by_rank(Spectrum((2.0, 1.0), (1.0, 3.0), 4, "by hand", True), 5)
    (array([0., 1., 2., 3., 4.]), array([2., 2., 1., 1., 1.]))
    """
    values, weights = measured(spectrum)
    if not len(values):
        return np.zeros(0), np.zeros(0)
    order = np.argsort(-values, kind="stable")
    values, ends = values[order], np.cumsum(weights[order])
    # The measured values stand for all of them, whatever rounding did to the sum of the weights.
    ranks = np.linspace(0.0, float(ends[-1]), max(points, 2))
    scale = spectrum.size / float(ends[-1]) if math.isfinite(float(ends[-1])) else 1.0
    return ranks * scale, values[np.minimum(np.searchsorted(ends, ranks, side="left"), len(values) - 1)]


def angle_bars(name: str, values: Sequence[float], place: str, *, log: bool = False) -> Drawing | None:
    """The histogram of learned angles over the whole circle, or over what they reach beyond it."""
    degrees = np.degrees(np.asarray(values, dtype=np.float64))
    degrees = degrees[np.isfinite(degrees)]
    if not len(degrees):
        return None
    over = Range(min(0.0, float(degrees.min())), max(360.0, float(degrees.max())))
    mean = float(degrees.mean())
    return bars(
        degrees, np.ones(len(degrees)), over, mean, log=log, foot=f"mean {mean:.1f}°",
        caption=f"learned angles {name} in degrees{place}",
    )  # fmt: skip
