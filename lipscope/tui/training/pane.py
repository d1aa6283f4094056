"""Training: a run folder, live or finished: curves, progress, and the layers as they evolve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widgets import Static

from lipscope.files.run_log import RunLog
from lipscope.tui.keys.bindings import bindings_of
from lipscope.tui.keys.motion import focus, is_focused
from lipscope.tui.panes import Cells, Goto, Pane, Sheet
from lipscope.tui.training import lines
from lipscope.tui.training.curves import loss_drawing, rates_drawing
from lipscope.tui.widgets.chart import Chart
from lipscope.tui.widgets.fold import FoldBar
from lipscope.tui.widgets.long_list import LongList
from lipscope.tui.widgets.notice import Notice
from lipscope.tui.widgets.panel import Panel
from lipscope.tui.work.state import State
from lipscope.visible import counted, harmless

SAID = 3
"""Lines of a child's narration that are shown."""


class TrainingPane(Pane):
    """The screen of a run folder."""

    BINDINGS = bindings_of("Training")

    MOVING = "#training-list"

    _shown: State | None = None
    _log_axis = False
    _unfolded = False
    _rows: Sequence[lines.LayerRow] = ()

    def compose(self) -> ComposeResult:
        """Words on top, then the curves beside or above the layers, then what the training says."""
        yield Notice("run", id="training-notice")
        with Vertical(id="training-content"):
            yield Static(id="training-words", markup=False)
            with Container(id="training-panes"):
                with Container(id="training-plots"):
                    yield Panel(Chart(id="training-loss"), id="training-loss-panel")
                    accuracy = Chart(id="training-accuracy")
                    yield Panel(accuracy, id="training-accuracy-panel", title="~ clean, certified at 36/255")
                with Vertical(id="training-layers", classes="panel"):
                    yield Static("Measured at the end of an epoch.", id="training-no-layers", markup=False)
                    yield LongList(id="training-list")
            yield FoldBar("#training-plots", "left", "curves")
            yield FoldBar("#training-layers", "right", "layers", under=80)
        yield Static(id="training-said", markup=False)

    def show(self, state: State) -> None:
        """Show another state."""
        before, self._shown, view = self._shown, state, state.run
        if before is not None and before.run == view:
            return
        self.query_one(Notice).show(lines.notice(state))
        log = view.log if view is not None else None
        told = log is not None and bool(log.epochs or log.layers or log.progress)
        self.set_class(not told, "-empty")
        said = self.query_one("#training-said", Static)
        tail = view.said[-SAID:] if view is not None else ()
        said.display = bool(tail)
        said.update("\n".join(harmless(line, 400) for line in tail))
        self.refresh_bindings()
        if told:
            self._redraw()

    @property
    def _log(self) -> RunLog | None:
        return self.state.run.log if self.state.run is not None else None

    def on_resize(self) -> None:
        """Words and lists as the new width wants them."""
        self._redraw()

    def focus_main(self) -> None:
        """The layers take the arrow keys; where they are folded, the screen itself."""
        table, folded = self.query_one("#training-list"), self.query_one("#training-layers").has_class("-folded")
        focus(table if table.display and not folded and not self.has_class("-empty") else self)

    def _redraw(self) -> None:
        view, log = self.state.run, self._log
        if view is None or log is None or self.has_class("-empty"):
            return
        width = max(self.size.width - 2, 20)
        first, *rest = [lines.progress_words(view, width), *lines.figures(log, width)]
        self.query_one("#training-words", Static).update(
            Content("\n").join([Content.styled(first, "bold"), *(Content(line) for line in rest)])
        )
        held_out = any(event.validation_accuracy is not None for event in log.epochs)
        self.query_one("#training-accuracy-panel").border_subtitle = (
            "whole: training, dotted: held out" if held_out else "of the training images"
        )
        self._draw_curves(log)
        self._list_layers(log)
        self.say_folded(left=first, right=f"{len(self._rows)} that move")

    def _list_layers(self, log: RunLog) -> None:
        """The layers whose numbers change, and how many do not; all of them where that is wanted."""
        every = lines.layer_rows(log.layers)
        moving = [row for row in every if row.moves]
        self._rows = every if self._unfolded else moving
        rest = 0 if self._unfolded else len(every) - len(moving)
        layers, panel, rows = self.query_one("#training-list", LongList), self.query_one("#training-layers"), self._rows
        if not every and is_focused(layers):
            focus(self)
        layers.display = bool(every)
        if is_focused(self):
            self.focus_main()
        self.query_one("#training-no-layers").display = not every

        def line(place: int, width: int) -> list[tuple[str, str]]:
            if place < len(rows):
                return lines.layer_line(rows[place], width)
            return [(f"{rest} more whose bound and gradient stay (+ unfolds)", "$foreground 60%")]

        layers.show(len(rows) + bool(rest), line, lines.layer_heading, place=layers.place)
        panel.border_title = f"{len(moving)} of {counted(len(every), 'layer')} move"
        last = log.layers[-1] if log.layers else None
        panel.border_subtitle = f"{harmless(last.images, 30)}, epoch {last.epoch}" if last is not None else ""

    @property
    def _chosen(self) -> lines.LayerRow | None:
        return self.query_one("#training-list", LongList).under(self._rows)

    def _draw_curves(self, log: RunLog) -> None:
        values = lines.column(log.epochs, "loss")
        panel = self.query_one("#training-loss-panel")
        panel.border_title = "loss, training" + (", logarithmic" if self._log_axis else "")
        finite = values[np.isfinite(values)]
        if len(finite):
            panel.border_subtitle = f"least {finite.min():.3f}  last {finite[-1]:.3f}"
        self.query_one("#training-loss", Chart).show(loss_drawing(log, logarithmic=self._log_axis))
        self.query_one("#training-accuracy", Chart).show(rates_drawing(log))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without an epoch there is no curve to change, without a measured one no layer."""
        log = self._log
        if action in ("log_axis", "unfold", "cause"):
            return log is not None and bool(log.epochs if action == "log_axis" else log.layers)
        return super().check_action(action, parameters)

    def action_log_axis(self) -> None:
        """The loss on a logarithmic axis, or on a linear one again."""
        self._log_axis = not self._log_axis
        self._redraw()

    def action_unfold(self) -> None:
        """List the layers that stay as well, or only those that move."""
        self._unfolded = not self._unfolded
        self._redraw()

    @on(LongList.Entered, "#training-list")
    def action_cause(self) -> None:
        """The layer under the cursor, as it is in the model now."""
        row = self._chosen
        if row is None:
            self.action_unfold()
        else:
            self.post_message(Goto("layers", row.name))

    def sheet(self) -> Sheet:
        """What is shown, as data."""
        return lines.training_sheet(self.state)

    def cells(self) -> Cells:
        """The numbers of the layer under the cursor, at the first epoch and the last."""
        row = self._chosen if self._log is not None else None
        if row is None:
            return {}
        (bound, last_bound), (gradient, last_gradient) = lines.ends(row.bounds), lines.ends(row.gradients)
        return {
            "layer": row.name, "first bound": bound, "last bound": last_bound, "first gradient": gradient,
            "last gradient": last_gradient,
        }  # fmt: skip
