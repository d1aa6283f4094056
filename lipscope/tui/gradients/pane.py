"""Gradients: how much of the gradient's norm each layer passes back, and what is left of the bound at the pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from lipscope.records import LayerReport, Tightness, loses_most
from lipscope.tui.gradients import lines
from lipscope.tui.keys.bindings import bindings_of
from lipscope.tui.keys.motion import focus
from lipscope.tui.panes import Goto, Pane, Sheet
from lipscope.tui.plots.range import Range
from lipscope.tui.widgets.chart import Chart, bars
from lipscope.tui.widgets.long_list import LongList
from lipscope.tui.widgets.notice import Notice, error_facts
from lipscope.tui.widgets.panel import Panel
from lipscope.tui.work.state import State
from lipscope.visible import counted


class GradientsPane(Pane):
    """The third screen."""

    BINDINGS = bindings_of("Gradients")

    _shown: State | None = None
    _rows: Sequence[LayerReport] = ()

    def compose(self) -> ComposeResult:
        """Words on top, then the layers through the depth, then the tightness of the certificate."""
        yield Notice("the analysis failed", id="gradients-failure")
        yield Notice("gradients", id="gradients-notice")
        with Vertical(id="gradients-content"):
            yield Static(id="gradients-words", markup=False)
            with Vertical(id="gradients-panel", classes="panel") as panel:
                panel.border_title = "~ gradient norm passed back, ||Jᵀg|| / ||g||"
                yield LongList(id="gradients-list")
                yield Static(lines.LEGEND, id="gradients-legend", markup=False)
            words = Static(id="tightness-words", markup=False)
            yield Panel(words, Chart(id="tightness"), id="tightness-panel", title="~ tightness of the certificate")

    def show(self, state: State) -> None:
        """Show another state."""
        before, self._shown = self._shown, state
        if before is not None and before.layers == state.layers and before.phase is state.phase:
            return
        notice = lines.absent(state)
        self.query_one("#gradients-failure", Notice).show(error_facts(state.failure))
        self.query_one("#gradients-notice", Notice).show("" if state.failure is not None else notice)
        self.query_one("#gradients-content").display = not notice
        self.query_one("#gradients-words", Static).update(lines.summary(state))
        self._list(state)
        self._show_tightness(state.tightness)

    def _list(self, state: State) -> None:
        """One line a layer; the cursor begins on the one that loses most."""
        self._rows = rows = lines.measured(state)
        if not rows:
            return
        layers, losing = self.query_one("#gradients-list", LongList), loses_most(rows)
        over, deviation = lines.gradient_axis(rows)
        longest = max(len(row.name) for row in rows)
        most = next((place for place, row in enumerate(rows) if row is losing), 0)

        def line(place: int, width: int) -> list[tuple[str, str]]:
            row, shape = rows[place], lines.columns(width, longest)
            return lines.line(row, over, shape, deviation=deviation, most=row is losing)

        layers.show(
            len(rows),
            line,
            lambda width: lines.heading(over, lines.columns(width, longest), deviation=deviation),
            place=most if layers.place < 1 else layers.place,
        )

    @on(LongList.Entered, "#gradients-list")
    def action_cause(self) -> None:
        """The spectrum of the layer under the cursor."""
        if (row := self.query_one("#gradients-list", LongList).under(self._rows)) is not None:
            self.post_message(Goto("layers", row.name))

    def _show_tightness(self, tight: Tightness | None) -> None:
        self.set_class(tight is not None, "-with-tightness")
        if tight is None:
            return
        self.query_one("#tightness-words", Static).update(
            f"||grad of the margin at the pixels|| / (||w_l - w_i|| L): 1 is all that the proof allows.\n"
            f"mean {tight.mean:.4f}  min {tight.minimum:.4f}  5% {tight.p05:.4f}  "
            f"95% {tight.p95:.4f}  max {tight.maximum:.4f}"
        )
        self.query_one("#tightness-panel").border_subtitle = counted(len(tight.values), "image")
        values = np.asarray(tight.values)
        self.query_one("#tightness", Chart).show(
            bars(values, np.ones(len(values)), Range(0.0, max(1.0, float(values.max()))), tight.mean,
                 foot=f"mean {tight.mean:#.3g}")
        )  # fmt: skip

    def focus_main(self) -> None:
        """Put the focus where the keys of this screen work."""
        focus(self.query_one("#gradients-list"))

    def sheet(self) -> Sheet:
        """What is shown, as data."""
        return lines.gradient_sheet(self.state)
