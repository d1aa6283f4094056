"""The curves of a training by epoch. Pure functions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from lipscope.files.run_log import RunLog
from lipscope.tui.plots.range import Range
from lipscope.tui.training.lines import column
from lipscope.tui.widgets.chart import GUTTER, Drawing, Series, percents

RATES = (
    ("train_accuracy", "clean", "$foreground", 0),
    ("train_certified", "certified", "$text-warning", 0),
    ("validation_accuracy", "clean, held out", "$foreground", 2),
    ("validation_certified", "certified, held out", "$text-warning", 2),
)
"""Fields of an epoch, their names, colours and line styles: whole for the training, broken for held-out images.

Anybody can write a log: what it says is certified is not proved, and has the colour of that."""


def _epochs(log: RunLog) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], Range]:
    epochs = column(log.epochs, "epoch")
    return epochs, Range(1.0, max(float(log.planned or 1), float(epochs.max(initial=2.0)), 2.0))


def loss_drawing(log: RunLog, *, logarithmic: bool) -> Drawing:
    """The loss; on a logarithmic axis what is not positive is left out."""
    epochs, over = _epochs(log)
    values = column(log.epochs, "loss")
    if logarithmic:
        values = np.log10(np.where(values > 0, values, np.nan))
    finite = values[np.isfinite(values)]
    low, high = float(finite.min(initial=math.inf)), float(finite.max(initial=-math.inf))
    if not len(finite):
        low, high = 0.0, 1.0
    margin = 0.05 * (high - low) or 0.5 * abs(high) or 0.5
    up = Range(low - margin, high + margin)
    drawing = Drawing(
        over, [Series("loss", epochs, values)], up, across_text="epoch {:.0f}".format, whole=True, gutter=GUTTER
    )
    return drawing if not logarithmic else replace(
        drawing, labels=lambda rungs: [f"{10.0**rung:.3g}" for rung in rungs],
        up_text=lambda value: f"{10.0**value:.4g}",
    )  # fmt: skip


def rates_drawing(log: RunLog) -> Drawing:
    """Clean and certified accuracy, of the training and of the held-out images."""
    epochs, over = _epochs(log)
    series = [Series(words, epochs, column(log.epochs, name), look, gap) for name, words, look, gap in RATES]
    known = [one for one in series if np.isfinite(one.y).any()]
    top = max((float(np.nanmax(one.y)) for one in known), default=0.2)
    up = Range(0.0, min(max(math.ceil(5 * top) / 5, 0.2), 1.0))
    return Drawing(
        over, known, up, across_text="epoch {:.0f}".format, up_text="{:.1%}".format, whole=True, gutter=GUTTER,
        labels=percents, named=True,
    )  # fmt: skip
