"""Radii: how far around each test image the prediction is proved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.widget import Widget

from lipscope.tui.keys.bindings import bindings_of
from lipscope.tui.keys.motion import focus
from lipscope.tui.numerals import rate_text
from lipscope.tui.panes import Sheet, named
from lipscope.tui.plots.blocks import Range
from lipscope.tui.plots.rates import CurvePlot
from lipscope.tui.radii.attack_plot import AttackPlot
from lipscope.tui.radii.class_table import TITLE, ClassTable
from lipscope.tui.radii.sheet import RADII_COLUMNS, radii_sheet
from lipscope.tui.results import results_notice
from lipscope.tui.widgets.accuracy import Accuracy
from lipscope.tui.widgets.at_eps import EpsPane
from lipscope.tui.widgets.eps_line import EpsLine
from lipscope.tui.widgets.fold import FoldBar
from lipscope.tui.widgets.histogram import Histogram, HistogramData
from lipscope.tui.widgets.notice import Notice
from lipscope.tui.work.state import State
from lipscope.units import DEFAULT_EPS, format_eps

if TYPE_CHECKING:
    from lipscope.records.certificates import Certificates


class RadiiPane(EpsPane):
    """The screen of the certified radii."""

    BINDINGS = bindings_of("Radii")

    def __init__(self) -> None:
        super().__init__(id="radii-pane")
        self._certificates: Certificates | None = None
        self._notice = ""
        self._log = False
        self._attack = False

    def compose(self) -> ComposeResult:
        """A line of words on top, then histogram, curve and table."""
        yield Notice("results", id="radii-notice")
        with Vertical(id="radii-content"):
            yield EpsLine(id="eps-line")
            with Container(id="radii-panes"):
                with Container(id="radii-plots"):
                    with Vertical(id="radii-histogram-panel", classes="panel"):
                        yield Histogram(id="radii-histogram")
                    with Vertical(id="radii-curve-panel", classes="panel") as panel:
                        panel.border_title = "certified accuracy by radius"
                        yield CurvePlot(id="radii-curve")
                    yield AttackPlot()
                with Container(id="radii-tables"):
                    yield Accuracy(id="radii-accuracy")
                    with Vertical(id="radii-classes-panel", classes="panel") as panel:
                        panel.border_title = TITLE
                        yield ClassTable()
            yield FoldBar("#radii-plots", "left", "plots")
            yield FoldBar("#radii-tables", "right", "certified")

    def show(self, state: State) -> None:
        """Show another state."""
        self._notice = notice = results_notice(state)
        self.query_one(Notice).show(notice)
        certificates = state.results.certificates
        self.set_class(bool(notice), "-noticed")
        self.set_class(certificates is None, "-empty")
        self.query_one("#radii-content").display = certificates is not None
        if certificates is not self._certificates:
            self._certificates = certificates
            self.refresh_bindings()
            self._redraw()

    def focus_main(self) -> None:
        """Put the focus where the keys of this screen work."""
        focus(self)

    def on_resize(self, _event: events.Resize) -> None:
        """Resample the curve to the new width."""
        self.call_after_refresh(self._redraw)

    def _redraw(self) -> None:
        certificates = self._certificates
        if certificates is None:
            return
        self.query_one(EpsLine).show(certificates, self.eps)
        accuracy = self.query_one(Accuracy)
        accuracy.show(certificates, self.eps, about=False)
        accuracy.border_subtitle = Text(
            "radii claimed by somebody else" if certificates.standing == "claimed" else "sound radii"
        )
        radii = certificates.radius[certificates.correct]
        wrong = len(certificates) - len(radii)
        panel = self.query_one("#radii-histogram-panel")
        panel.border_title = f"radii of {len(radii):,} correct images"
        panel.border_subtitle = f"apart: {wrong:,} wrong ({rate_text(wrong, len(certificates))})"
        largest = max(float(radii.max(initial=0.0)), float(self.eps), 1e-9)
        self.query_one("#radii-histogram", Histogram).show(
            HistogramData(
                values=radii,
                weights=np.ones(len(radii)),
                over=Range(0.0, largest),
                mark=float(self.eps),
                mark_label=f"eps {format_eps(self.eps)}",
                split=True,
            ),
            log=self._log,
        )
        self.query_one(ClassTable).show(certificates, self.eps)
        attacked = certificates.attack_distance is not None
        self.set_class(self._attack and attacked, "-attack")
        if attacked:
            self.query_one(AttackPlot).show(certificates, log=self._log)
        total = len(certificates)
        in_short = ", ".join(
            f"{format_eps(eps)} {rate_text(certificates.certified_count(eps), total)}" for eps in DEFAULT_EPS
        )
        for bar in self.query(FoldBar):
            bar.say(in_short if bar.side == "right" else f"{len(radii):,} correct images, {wrong:,} wrong")
        curve = self.query_one(CurvePlot)
        if curve.size.width:
            grid, rates = certificates.curve(2 * curve.size.width)
            curve.show_rates(grid, rates, float(self.eps), columns=curve.size.width, rows=curve.size.height)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without radii there is no eps to move, without an attack nothing to compare them with."""
        if action == "show_attack":
            return self._certificates is not None and self._certificates.attack_distance is not None
        return self._certificates is not None or action not in {"move", "type_eps", "log_axis"}

    def show_eps(self) -> None:
        """Counts and plots at the radius chosen."""
        self._redraw()

    def action_log_axis(self) -> None:
        """Count the images on a logarithmic axis, or on a linear one again."""
        self._log = not self._log
        self._redraw()

    def action_show_attack(self) -> None:
        """What an attack found against what is proved, or the radii again."""
        self._attack = not self._attack
        self._redraw()

    def moving(self) -> Widget:
        """The keys that move up and down move in the classes."""
        return self.query_one(ClassTable)

    def step_back(self) -> bool:
        """Close the entry if it is open; False when there is nothing to undo."""
        return self.close_entry()

    def sheet(self) -> Sheet:
        """All images at the radii of the literature and at eps, then every class at eps."""
        certificates = self._certificates
        if certificates is None:
            return Sheet(RADII_COLUMNS, (), {"notice": self._notice})
        return radii_sheet(certificates, self.eps)

    def copied(self) -> str:
        """The line of eps, and the class under the cursor."""
        certificates = self._certificates
        if certificates is None:
            return ""
        count, total = certificates.certified_count(self.eps), len(certificates)
        line = f"eps {format_eps(self.eps)}\t{count}\tof {total}\t{rate_text(count, total)} certified"
        row = self.query_one(ClassTable).chosen
        beside = f"\tclass {row.name}\t{row.certified} of {row.images}" if row is not None else ""
        return line + beside

    def cells(self) -> list[tuple[str, str]]:
        """The numbers at eps, and those of the class under the cursor."""
        certificates = self._certificates
        if certificates is None:
            return []
        sheet, row = radii_sheet(certificates, self.eps), self.query_one(ClassTable).chosen
        lines = [line for line in sheet.rows if line[0] == "all" and line[1] == format_eps(self.eps)]
        lines += [line for line in sheet.rows if row is not None and line[0] == row.label]
        return [
            (f"{'all' if line[0] == 'all' else line[7]}: {name}", value)
            for line in lines for name, value in named(sheet.columns, line)
        ]  # fmt: skip
