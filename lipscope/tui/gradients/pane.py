"""Gradients: how much of the gradient's norm each layer passes back, and what is left of the bound at the pixels."""

from __future__ import annotations

import numpy as np
from textual import events
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.widgets import Static

from lipscope.records import Tightness
from lipscope.tui.gradients.lines import absent, gradient_sheet, share_text, summary, tightness_words
from lipscope.tui.gradients.plot import GradientPlot
from lipscope.tui.panes import Sheet
from lipscope.tui.plots.blocks import Range
from lipscope.tui.widgets.failure import Failure
from lipscope.tui.widgets.histogram import Histogram, HistogramData
from lipscope.tui.widgets.notice import Notice
from lipscope.tui.work.state import State


class GradientsPane(Container):
    """The third screen."""

    def __init__(self) -> None:
        super().__init__(id="gradients-pane")
        self._state: State | None = None

    def compose(self) -> ComposeResult:
        """Words on top, then the layers through the depth, then the tightness of the certificate."""
        yield Failure("the analysis failed", id="gradients-failure")
        yield Notice("gradients", id="gradients-notice")
        with Vertical(id="gradients-content"):
            yield Static(id="gradients-words", markup=False)
            with Container(id="gradients-plots"):
                with Vertical(id="gradients-panel", classes="panel") as panel:
                    panel.border_title = "gradient norm passed back, ||Jᵀg|| / ||g||: estimates"
                    yield GradientPlot()
                with Vertical(id="tightness-panel", classes="panel") as panel:
                    panel.border_title = "tightness of the certificate: estimate"
                    yield Static(id="tightness-words", markup=False)
                    yield Histogram(id="tightness")

    def show(self, state: State) -> None:
        """Show another state."""
        before, self._state = self._state, state
        if before is not None and before.layers == state.layers and before.phase is state.phase:
            return
        notice = absent(state)
        self.query_one(Failure).show(state.failure)
        self.query_one(Notice).show("" if state.failure is not None else notice)
        self.query_one("#gradients-content").display = not notice
        words = summary(state) + (" " + tightness_words(state) if state.tightness else "")
        self.query_one("#gradients-words", Static).update(words)
        self.query_one(GradientPlot).show(state)
        self._show_tightness(state.tightness)

    def _show_tightness(self, tight: Tightness | None) -> None:
        self.set_class(tight is not None, "-with-tightness")
        if tight is None:
            return
        self.query_one("#tightness-words", Static).update(
            f"||grad of the margin at the pixels|| / (||w_l - w_i|| L): 1 is all that the proof allows.\n"
            f"mean {tight.mean:.4f}  min {tight.minimum:.4f}  5% {tight.p05:.4f}  "
            f"95% {tight.p95:.4f}  max {tight.maximum:.4f}"
        )
        self.query_one("#tightness-panel").border_subtitle = f"{len(tight.values)} images"
        values = np.asarray(tight.values)
        self.query_one("#tightness", Histogram).show(
            HistogramData(
                values=values,
                weights=np.ones(len(values)),
                over=Range(0.0, max(1.0, float(values.max()))),
                mark=tight.mean,
                mark_label=f"mean {share_text(tight.mean)}",
            )
        )

    def focus_main(self) -> None:
        """Put the focus where the keys of this screen work."""
        self.query_one(GradientPlot).focus_main()

    def sheet(self) -> Sheet:
        """What is shown, as data."""
        return gradient_sheet(self._state) if self._state is not None else Sheet((), ())

    def on_resize(self, _event: events.Resize) -> None:
        """Fit the plot to the new width."""
        self.call_after_refresh(self.query_one(GradientPlot).redraw)
