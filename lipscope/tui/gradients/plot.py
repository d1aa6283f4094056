"""The layers through the depth, one line each: mean, 5-95 band and minimum on one axis, random beside real."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from lipscope.tui.gradients.lines import (
    LEGEND,
    SHORT_LEGEND,
    Columns,
    GradientRow,
    Line,
    columns,
    gradient_axis,
    gradient_rows,
    heading,
    line,
)
from lipscope.tui.keys.motion import focus
from lipscope.tui.work.state import State


class GradientPlot(Vertical):
    """A heading with the axis, rows that scroll, and a legend."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[GradientRow] = []

    def compose(self) -> ComposeResult:
        """Only the rows scroll."""
        yield Static(id="gradient-heading", markup=False)
        with VerticalScroll(id="gradient-scroll"):
            yield Static(id="gradient-rows", markup=False)
        yield Static(id="gradient-legend", markup=False)

    def show(self, state: State) -> None:
        """Show another state."""
        self._rows = gradient_rows(state)
        self.redraw()

    def redraw(self) -> None:
        """Draw to the width that there is."""
        width = self.query_one("#gradient-scroll").size.width - 1  # the scrollbar's cell
        if not self._rows or width < 24:
            return
        over, deviation = gradient_axis(self._rows)
        shape = columns(width, max(len(row.name) for row in self._rows))
        self.query_one("#gradient-heading", Static).update(
            Content.styled("\n".join(heading(over, shape, deviation=deviation)), "$text-muted")
        )
        lines = [
            content
            for row in self._rows
            for content in _styled(row, line(row, over, shape, deviation=deviation), shape)
        ]
        self.query_one("#gradient-rows", Static).update(Content("\n").join(lines))
        self.query_one("#gradient-legend", Static).update(LEGEND if width >= len(LEGEND) else SHORT_LEGEND)

    def on_resize(self, _event: events.Resize) -> None:
        """The columns depend on the width."""
        self.redraw()

    def focus_main(self) -> None:
        """The rows take the arrow keys."""
        focus(self.query_one("#gradient-scroll"))


def _styled(row: GradientRow, shown: Line, shape: Columns) -> list[Content]:
    """The line of a layer, and under the one that loses most the words that say so."""
    style = "bold" if row.most else ("$text-muted" if row.role != "body" else "")
    pieces = [
        (f"{shown.name:{shape.name}s} {shown.mean} ", style),
        (shown.plot, "$primary"),
        (f" {shown.cumulative[: shape.number]}", style),
        (shown.cumulative[shape.number :], "$foreground 50%"),
    ]
    lines = [Content.assemble(*pieces)]
    if row.most:
        lines.append(Content.styled("^ loses most".rjust(shape.name + shape.mean + 1), "bold"))
    return lines
