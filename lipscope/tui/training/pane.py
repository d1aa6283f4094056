"""Training: a run folder, live or finished: curves, progress, and the layers as they evolve."""

from __future__ import annotations

import numpy as np
from textual import events
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from lipscope.files.run_log import RunLog
from lipscope.tui.keys.bindings import bindings_of
from lipscope.tui.keys.motion import focus
from lipscope.tui.panes import Sheet, named
from lipscope.tui.text import harmless
from lipscope.tui.training.epochs import Curve, CurvesPlot
from lipscope.tui.training.lines import (
    bound_cell,
    column,
    ends,
    figures,
    layer_rows,
    notice,
    progress_words,
    ratio_cell,
    training_sheet,
)
from lipscope.tui.training.table import RunTable
from lipscope.tui.widgets.fold import FoldBar
from lipscope.tui.widgets.notice import Notice
from lipscope.tui.work.run_watch import RunView
from lipscope.tui.work.state import State

ACCURACIES = (
    ("train_accuracy", "A"),
    ("train_certified", "C"),
    ("validation_accuracy", "a"),
    ("validation_certified", "c"),
)
"""Fields of an epoch with the letters that their curves are drawn in."""

SAID = 3
"""Lines of a child's narration that are shown."""


class TrainingPane(Container, can_focus=True):
    """The screen of a run folder."""

    BINDINGS = bindings_of("Training")

    def __init__(self) -> None:
        super().__init__(id="training-pane")
        self._state: State | None = None
        self._view: RunView | None = None
        self._log_axis = False

    def compose(self) -> ComposeResult:
        """Words on top, then the curves beside or above the layers, then what the training says."""
        yield Notice("run", id="training-notice")
        with Vertical(id="training-content"):
            yield Static(id="training-words", markup=False)
            with Container(id="training-panes"):
                with Container(id="training-plots"):
                    with Vertical(id="training-loss-panel", classes="panel"):
                        yield CurvesPlot(id="training-loss")
                    with Vertical(id="training-accuracy-panel", classes="panel"):
                        yield CurvesPlot(id="training-accuracy")
                with Vertical(id="training-layers", classes="panel"):
                    yield Static("Measured at the end of an epoch.", id="training-no-layers", markup=False)
                    yield RunTable()
            yield FoldBar("#training-plots", "left", "curves")
            yield FoldBar("#training-layers", "right", "layers")
        yield Static(id="training-said", markup=False)

    def on_mount(self) -> None:
        """What the letters and columns mean."""
        self.query_one("#training-accuracy-panel").border_title = "A clean, C certified: estimates"
        self.query_one("#training-accuracy-panel").border_subtitle = "A C training, a c held out"
        self.query_one("#training-layers").border_title = "layers: bound proved, grad estimated"
        self.query_one(RunTable).display = False

    def show(self, state: State) -> None:
        """Show another state."""
        before, self._state = self._state, state
        if before is not None and before.run == state.run:
            return
        self._view = view = state.run
        self.query_one(Notice).show(notice(state))
        log = view.log if view is not None else None
        told = log is not None and bool(log.epochs or log.layers or log.progress)
        self.set_class(not told, "-empty")
        self.query_one("#training-content").display = told
        said = self.query_one("#training-said", Static)
        lines = view.said[-SAID:] if view is not None else ()
        said.display = bool(lines)
        said.update("\n".join(harmless(line, 400) for line in lines))
        self.refresh_bindings()
        if told:
            self._redraw()

    def focus_main(self) -> None:
        """The layers take the arrow keys; where they are folded, the screen itself."""
        table = self.query_one(RunTable)
        seen = table.display and not self.query_one("#training-layers").has_class("-folded")
        focus(table if seen and self.query_one("#training-content").display else self)

    def on_resize(self, _event: events.Resize) -> None:
        """Resample the curves to the new width."""
        self.call_after_refresh(self._redraw)

    def _redraw(self) -> None:
        view, log = self._view, self._view.log if self._view is not None else None
        if view is None or log is None or not self.query_one("#training-content").display:
            return
        width = max(self.size.width - 2, 20)
        first, *rest = [progress_words(view, width), *figures(log, width)]
        self.query_one("#training-words", Static).update(
            Content("\n").join([Content.styled(first, "bold"), *(Content(line) for line in rest)])
        )
        self._draw_curves(log)
        rows = layer_rows(log.layers)
        table, panel = self.query_one(RunTable), self.query_one("#training-layers")
        if not rows and table.has_focus:
            focus(self)
        table.display = bool(rows)
        if self.has_focus:
            self.focus_main()
        self.query_one("#training-no-layers").display = not rows
        table.show(rows)
        source = f"{harmless(log.layers[-1].images, 30)}, epoch {log.layers[-1].epoch}" if log.layers else ""
        panel.border_subtitle = source
        proved = sum(bool(np.isfinite(row.bounds[-1])) for row in rows)
        for bar in self.query(FoldBar):
            bar.say(f"{len(rows)}, {proved} with a proved bound" if bar.side == "right" else first)

    def _draw_curves(self, log: RunLog) -> None:
        epochs = column(log.epochs, "epoch")
        loss = self.query_one("#training-loss", CurvesPlot)
        values = column(log.epochs, "loss")
        panel = self.query_one("#training-loss-panel")
        panel.border_title = "loss, training" + (", logarithmic" if self._log_axis else "")
        finite = values[np.isfinite(values)]
        if len(finite):
            panel.border_subtitle = f"least {finite.min():.3f}  last {finite[-1]:.3f}"
        loss.show_curves([Curve("L", epochs, values)], planned=log.planned or 1, log=self._log_axis)
        curves = [
            Curve(mark, epochs, column(log.epochs, name), points=name.startswith("validation"))
            for name, mark in ACCURACIES
        ]
        self.query_one("#training-accuracy", CurvesPlot).show_curves(curves, planned=log.planned or 1, percent=True)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without an epoch there is no curve to change."""
        log = self._view.log if self._view is not None else None
        return action != "log_axis" or (log is not None and bool(log.epochs))

    def action_log_axis(self) -> None:
        """The loss on a logarithmic axis, or on a linear one again."""
        self._log_axis = not self._log_axis
        self._redraw()

    def moving(self) -> Widget:
        """The keys that move up and down move in the layers."""
        return self.query_one(RunTable)

    def sheet(self) -> Sheet:
        """What is shown, as data."""
        return training_sheet(self._state) if self._state is not None else Sheet((), ())

    def copied(self) -> str:
        """Where the training stands, and the layer under the cursor."""
        if self._view is None or self._view.log is None:
            return ""
        words = progress_words(self._view, 80)
        row = self.query_one(RunTable).chosen
        if row is None:
            return words
        first, last = ends(row.gradients)
        bound = bound_cell(ends(row.bounds)[1])
        return f"{words}\t{harmless(row.name)}\tbound {bound}\tgradient {ratio_cell(first)} to {ratio_cell(last)}"

    def cells(self) -> list[tuple[str, str]]:
        """The numbers of the layer under the cursor, at the first epoch and the last."""
        row = self.query_one(RunTable).chosen if self._view is not None and self._view.log is not None else None
        if row is None:
            return []
        names = ("layer", "first bound", "last bound", "first gradient", "last gradient")
        return named(names, (row.name, *ends(row.bounds), *ends(row.gradients)))
