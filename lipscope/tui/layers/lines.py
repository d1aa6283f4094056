"""One layer in one line: its bound, its singular values on an axis that all share, the gradient that it keeps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lipscope.records import NEAR_ONE, LayerReport, allowed, gradient_kept
from lipscope.tui.layers.rows import Line, Row, aside, is_run, line_name
from lipscope.tui.layers.spectra import measured
from lipscope.tui.numerals import shape_text
from lipscope.tui.overview.answers import short
from lipscope.tui.plots.bands import Runs
from lipscope.tui.plots.bars import BLOCKS, bar
from lipscope.tui.plots.blocks import axis_line, bin_counts
from lipscope.tui.plots.range import Range
from lipscope.visible import counted, harmless

GOOD, BAD, QUIET = "$text-success", "$text-warning", "$foreground 50%"
BOUND, GRADIENT, SHAPES = 11, 18, 20
STRIP = 12
"""Cells of a strip that a kind leaves at least, else it is not shown."""

BAR = 5
"""Cells of the bar of the gradient kept."""

PENDING, ABSENT = "…", "–"


@dataclass(frozen=True)
class Layout:
    """The widths of the columns in cells; 0 for one that has no room."""

    name: int  # name, kind, shapes, strip, gradient: from left to right, the bound between them
    kind: int
    shapes: int
    strip: int
    gradient: int


WIDEST, WIDEST_ALONE, WIDEST_KIND = 34, 56, 40
"""Cells of a name at most; more where nothing was measured that needs the room. And of a kind."""


def widest(items: Sequence[Line]) -> tuple[int, int]:
    """The cells that the names and the kinds want; of tens of thousands only as many are measured as need be."""
    longest = 8
    for item in items:
        longest = max(longest, len(harmless(_called(item), WIDEST_ALONE)))
        if longest >= WIDEST_ALONE:
            break
    kinds = (len(harmless(_kind(item), WIDEST_KIND)) for item in items[:1000])
    return longest, max(kinds, default=8)


def _called(item: Line) -> str:
    """The name, and where there is no column that says it, of how many layers."""
    return f"{line_name(item)}, {len(item)}" if is_run(item) else line_name(item)


def _kind(item: Line) -> str:
    """What a layer is, and how many tensors stand aside of it; of a run how many."""
    row, more = item[0], len(item) - 1
    if is_run(item):
        return counted(len(item), "other" if row.report is not None and row.report.role == "tensor" else "layer")
    return f"{row.kind} +{more}" if more else row.kind


def layout(width: int, longest: tuple[int, int], *, alone: bool = False) -> Layout:
    """The columns that fit: name and bound always, then the gradient, the strip, the kind, the shapes.

    ``longest`` is what the names and the kinds want; tensors ``alone``, without a model, have no gradients and shapes.
    """
    rest = width - BOUND - 1
    name = max(min(longest[0], WIDEST_ALONE if alone else WIDEST, rest), 8)
    gradient = GRADIENT if rest - min(name, 20) - GRADIENT - 1 >= 0 and not alone else 0
    rest -= gradient + 1 if gradient else 0
    name = max(min(name, rest), 8)
    rest -= name + 1
    kind = longest[1] if rest >= longest[1] + 1 + STRIP else 0
    rest -= kind + 1 if kind else 0
    shapes = SHAPES if rest >= SHAPES + 30 and not alone else 0
    rest -= shapes + 1 if shapes else 0
    return Layout(name, kind, shapes, min(rest, 60) if rest >= 6 else 0, gradient)


def sigma_axis(reports: Iterable[LayerReport]) -> Range:
    """From 0 to the largest singular value of a layer of body or head, at least to 2.

    Of values that are far apart only the smaller ones fit: what lies beyond is drawn at the end.
    """
    largest = [one.sigma_max.value for one in reports if one.sigma_max is not None]
    return Range(0.0, min(max([2.0, *(1.05 * value for value in largest if math.isfinite(value))]), 8.0))


def strip(report: LayerReport | None, over: Range, width: int) -> Runs:
    """The singular values on the axis: ``┃`` where all are at 1, else bars; ``·`` at 1 where there are none."""
    cells: list[tuple[str, str]] = [(" ", "")] * width
    one = over.column(1.0, width)
    if report is None or (report.sigma_max is None and report.spectrum is None):
        cells[one] = ("·", QUIET)
        return cells
    values, weights = measured(report.spectrum)
    whole = report.spectrum is not None and 0 < len(values) == len(report.spectrum.values)
    if report.spectrum is not None and whole and report.spectrum.orthogonal:
        cells[one] = ("┃", GOOD)
        return cells
    cells[one] = ("╎", QUIET)
    if len(values):
        counts = np.log1p(bin_counts(values, over, width, weights))
        levels = np.where(counts > 0, np.maximum(np.rint(8 * counts / counts.max()), 1), 0).astype(int)
        for column, level in enumerate(levels.tolist()):
            if level:
                cells[column] = (BLOCKS[level], GOOD if column == one else BAD)
        if values.max() > over.high:
            cells[-1] = ("▶", BAD)
        return cells
    for estimate in (report.sigma_min, report.sigma_max):
        if estimate is not None:
            beyond = not estimate.value <= over.high
            cells[-1 if beyond else over.column(estimate.value, width)] = ("▶" if beyond else "╂", BAD)
    return cells


def bound_run(row: Row, width: int) -> tuple[str, str]:
    """The proved bound, rounded up; 1 is quiet, what is larger or not proved is not."""
    report = row.report
    if report is None or report.bound.pending:
        return (PENDING if row.active else ABSENT).rjust(width), QUIET
    bound = report.bound
    if not bound.proved or not math.isfinite(bound.value):
        return "not proved".rjust(width), QUIET if report.role not in ("body", "tensor") or aside(row) else BAD
    if bound.value <= allowed(1):
        return (short(bound.value) if bound.value > 0 else "0").rjust(width), QUIET
    return f"● {short(bound.value)}".rjust(width)[-width:], "bold" if report.role != "body" else BAD


def gradient_runs(row: Row, *, most: bool) -> Runs:
    """A bar of the share of the norm that is passed back, and the number; 1 is quiet."""
    report = row.report
    if report is None or report.gradient_norm is None:
        return [((PENDING if row.active else "").ljust(GRADIENT), QUIET)]
    mean = report.gradient_norm.mean
    share = (gradient_kept(report) or 0.0) if report.role == "body" else mean
    if (report.role != "body" and share >= 1 - NEAR_ONE) or not math.isfinite(mean):
        return [(" " * BAR + f" ~{mean:.2f}".ljust(GRADIENT - BAR), QUIET)]
    drawn = bar(share, BAR).ljust(BAR)
    if abs(share - 1) <= NEAR_ONE:
        return [(drawn, "$success 60%"), (" 1".ljust(GRADIENT - BAR), QUIET)]
    words = f" ~{share:.2f}" + (" ◀ most" if most else "")
    return [(drawn, BAD), (words.ljust(GRADIENT - BAR)[: GRADIENT - BAR], f"bold {BAD}" if most else "")]


def item_line(item: Line, columns: Layout, over: Range, most: str) -> Runs:
    """One line of the list."""
    row, folded = item[0], is_run(item)
    style = QUIET if folded else "bold" if row.key == most else ""
    name = harmless(line_name(item) if columns.kind else _called(item), columns.name, keep="start" if folded else "end")
    runs: Runs = [(f"{name:{columns.name}} ", style)]
    if columns.kind:
        runs.append((f"{harmless(_kind(item), columns.kind):{columns.kind}} ", style))
    if columns.shapes:
        last = item[-1].report if folded else row.report
        shapes = "" if row.report is None or last is None else (
            f"{shape_text(row.report.input_shape)} → {shape_text(last.output_shape)}"
        )  # fmt: skip
        runs.append((f"{harmless(shapes, columns.shapes):{columns.shapes}} ", QUIET))
    runs.append(bound_run(row, BOUND))
    if columns.strip:
        reports = (one.report for one in item if not folded or (one.report is not None and one.report.spectrum))
        runs += [(" ", ""), *strip(next(reports, None), over, columns.strip)]
    if columns.gradient:
        runs += [(" ", ""), *gradient_runs(row, most=row.key == most)]
    return runs


def heading(columns: Layout, over: Range) -> str:
    """The names of the columns; above the strips their axis."""
    text = f"{'layer':{columns.name}} "
    text += f"{'kind':{columns.kind}} " if columns.kind else ""
    text += f"{'in → out':{columns.shapes}} " if columns.shapes else ""
    text += "● bound ≤".rjust(BOUND)
    if columns.strip:
        line = axis_line(over, columns.strip, max(columns.strip // 6, 2))
        if line[3:7] == ["─"] * 4:
            line[4:6] = "~σ"
        text += " " + "".join(line)
    return text + (f" {'~ gradient kept':{columns.gradient}}" if columns.gradient else "")


def sort_at(columns: Layout, cell: int) -> str:
    """Which order a press on the heading means."""
    edges = [("name", columns.name + 1), ("kind", columns.kind + bool(columns.kind)),
             ("kind", columns.shapes + bool(columns.shapes)), ("bound", BOUND + 1),
             ("sigma", columns.strip + bool(columns.strip))]  # fmt: skip
    for name, width in edges:
        if cell < width:
            return name
        cell -= width
    return "gradient"
