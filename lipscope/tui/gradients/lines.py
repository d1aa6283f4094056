"""The rows of the Gradients screen: one line a layer, all on one axis. Pure functions of the state."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import numpy as np
from textual.content import Content

from lipscope.records import GRADIENT_KEPT, LayerReport, loses_most, loss_words
from lipscope.tui.layers.lines import BAD, GOOD, QUIET
from lipscope.tui.panes import Cells, Sheet, of
from lipscope.tui.plots.bars import bar
from lipscope.tui.plots.blocks import axis_line, spectrum_axis
from lipscope.tui.plots.range import Range
from lipscope.tui.work.state import Phase, State
from lipscope.visible import harmless

ROUNDING = 1e-5
"""Of a norm in float32: what is above by less is shown with the same digits."""

ONE, MINIMUM, LOW, HIGH, BAND, MEAN, RANDOM, BOTH, BEYOND = "╎·├┤─●○◉▶"
"""What is drawn: the line at 1, the minimum, the 5 and 95 percentiles, what lies between, the means, off the axis."""

LEGEND = "● mean  ├─┤ 5-95 %  · least  ○ random (◉ both)  ╎ 1"


@dataclass(frozen=True)
class Columns:
    """The widths of the columns beside the numbers, in cells; 0 for one that has no room."""

    name: int  # name, plot, bar: from left to right; the bar is of the cumulative norm
    plot: int
    bar: int


NUMBER = 7
"""Cells of a ratio."""


def measured(state: State) -> list[LayerReport]:
    """The layers whose gradient norms are known, in forward order."""
    return [report for report in state.layers.values() if report.gradient_norm]


def columns(width: int, longest: int) -> Columns:
    """What fits into ``width`` cells: names first, then the plot, then the cumulative column."""
    name = max(min(longest, max(width // 3, 24), width - 26, 44), 8)
    bar = 0 if width < 76 else min(width // 8, 20)
    gaps = 4 + bool(bar)
    return Columns(name, max(width - name - 2 * NUMBER - bar - gaps, 8), bar)


def gradient_axis(reports: Iterable[LayerReport]) -> tuple[Range, bool]:
    """The axis of all ratios but the normalisation's, 1 always on it, and whether it is of the deviation from 1."""
    body = [
        norms for one in reports if one.role != "normalisation"
        for norms in (one.gradient_norm, one.gradient_norm_random) if norms
    ]  # fmt: skip
    values = chain.from_iterable((norms.minimum, norms.mean, norms.p95) for norms in body)
    finite = [value for value in values if math.isfinite(value)]
    return spectrum_axis(np.asarray(finite, dtype=np.float64))


def strip(report: LayerReport, over: Range, width: int, *, deviation: bool = False) -> list[tuple[str, str]]:
    """The distribution of one layer on the axis; what lies beyond its ends is drawn at the end."""
    cells = [(" ", "")] * width
    margin, random = report.gradient_norm, report.gradient_norm_random

    def at(value: float) -> int:
        return over.column(value - deviation, width) if math.isfinite(value) else width - 1

    cells[at(1.0)] = (ONE, QUIET)
    if margin is not None:
        style = GOOD if margin.mean >= GRADIENT_KEPT else BAD
        cells[at(margin.minimum)] = (MINIMUM, style)
        low, high = at(margin.p05), at(margin.p95)
        cells[low : high + 1] = [(BAND, style)] * (high + 1 - low)
        cells[low], cells[high] = (LOW, style), (HIGH, style)
        cells[at(margin.mean)] = (MEAN, style)
    if random is not None:
        place = at(random.mean)
        cells[place] = (BOTH if cells[place][0] == MEAN else RANDOM, cells[place][1] or QUIET)
    if margin is not None and not margin.mean - deviation <= over.high:
        cells[-1] = (BEYOND, QUIET)
    return cells


def cumulative_bar(value: float, width: int) -> str:
    """A bar of a norm from 0 to 1; one that goes beyond, by more than rounding, ends in ``>``."""
    return bar(value, width) if value <= 1 + ROUNDING else "█" * (width - 1) + ">"


def heading(over: Range, shape: Columns, *, deviation: bool) -> str:
    """The names of the columns, the ticks of the axis between them."""
    line = axis_line(over, shape.plot, max(shape.plot // 9, 3))
    what = "~mean-1" if deviation else "~mean"
    cumulative = "cumul." if not shape.bar else f"{'cumul.':{NUMBER}s} {'0 to 1':{shape.bar}s}"
    return f"{'layer':{shape.name}s} {what:>{NUMBER}s} {''.join(line)} {cumulative[: NUMBER + shape.bar + 1]}"


def ratio_text(value: float, width: int, *, deviation: bool = False) -> str:
    """A ratio in ``width`` >= 7 cells; its difference from 1 where that is tiny.

    >>> ratio_text(0.73794, 7), ratio_text(1e60, 7), ratio_text(1 - 2e-6, 7, deviation=True)
    (' 0.7379', '1.0e+60', '-2.0e-6')
    """
    if deviation:
        mantissa, _, exponent = f"{value - 1:.1e}".partition("e")
        return f"{mantissa}e{int(exponent)}".rjust(width) if value != 1 else "0".rjust(width)
    return (f"{value:.4f}" if abs(value) < 100 else f"{value:.1e}").rjust(width)


def line(report: LayerReport, over: Range, shape: Columns, *, deviation: bool, most: bool) -> list[tuple[str, str]]:
    """One layer in its columns; the one that loses most is bold."""
    # The normalisation scales: its ratio is no small deviation from 1 even where the others are.
    small = deviation and report.role == "body"
    margin, cumulative = report.gradient_norm, report.gradient_norm_cumulative
    mean = ratio_text(margin.mean, NUMBER, deviation=small) if margin else ""
    whole = margin is not None and abs(margin.mean - 1) < ROUNDING
    style = "bold" if most else QUIET if report.role != "body" else ""
    runs = [
        (f"{harmless(report.name, shape.name, keep='end'):{shape.name}s} ", style),
        (f"{'1' if whole and not small else mean:>{NUMBER}s} ", QUIET if whole else style),
        *strip(report, over, shape.plot, deviation=deviation),
    ]
    if cumulative is not None:
        one = abs(cumulative.mean - 1) < ROUNDING
        number = "1".rjust(NUMBER) if one else ratio_text(cumulative.mean, NUMBER)
        runs.append((f" {number}", QUIET if one else style))
        if shape.bar:
            look = "$foreground 15%" if one else "$foreground 50%"
            runs.append((" " + cumulative_bar(cumulative.mean, shape.bar), look))
    return runs


def summary(state: State) -> Content:
    """The layer that loses most, in a sentence; the end-to-end figure and what all was measured on in quieter ones."""
    images = next((harmless(one.gradient_norm.images, 60) for one in measured(state) if one.gradient_norm), None)
    if images is None:
        return Content("")
    words = loss_words(state.layers.values())
    quieter = " ".join(filter(None, (tightness_words(state), f"Estimates on {images}.")))
    return Content.assemble((f"{words[0].upper()}{words[1:]}.", "bold"), f" {quieter}")


def tightness_words(state: State) -> str:
    """The end-to-end figure in one sentence; empty where there is none."""
    tight = state.tightness
    if tight is None:
        return ""
    mean, low, high = (f"{value:#.3g}" for value in (tight.mean, tight.p05, tight.p95))
    return f"End to end ~{mean} of the proved bound (5-95 %: {low}-{high})."


def absent(state: State) -> str:
    """Why there is nothing to see (yet); empty when there is."""
    if measured(state):
        return ""
    if not state.modelled and state.layers:
        return (
            "No gradients: lipscope has no model for this file, so nothing can be passed through it. "
            "`--describe arch.json` says how its tensors are connected."
        )
    if state.phase.active:
        return "Gradient norms are measured as soon as the bounds are proved …"
    ended = {
        Phase.WAITING: f"{state.doing}.",
        Phase.FAILED: "the analysis failed before they were measured.",
        Phase.CANCELLED: "the analysis was cancelled before they were measured; r starts it again.",
    }
    return f"No gradients: {ended.get(state.phase, 'on every image they vanish or overflow.')}"


STATISTICS = {"mean": "mean", "min": "minimum", "p05": "p05", "p95": "p95", "max": "maximum"}


def gradient_sheet(state: State) -> Sheet:
    """The screen as data: statistics by layer, and the tightness among the facts."""
    most = loses_most(state.layers.values())

    def cells(report: LayerReport) -> Cells:
        kinds = {"margin": "gradient_norm", "random": "gradient_norm_random", "cumulative": "gradient_norm_cumulative"}
        numbers = {
            f"{kind} {name} (estimate)": of(getattr(report, norms), field)
            for kind, norms in kinds.items()
            for name, field in STATISTICS.items()
        }
        return {"layer": report.name, **numbers, "loses most": report is most}

    facts = {"tightness": state.tightness.to_json()} if state.tightness else {}
    return Sheet([cells(report) for report in measured(state)], facts)
