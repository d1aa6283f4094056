"""Radii: how far around each test image the prediction is proved."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container, Vertical

from lipscope.records.certificates import Certificates
from lipscope.tui.images.choice import Choice
from lipscope.tui.keys.bindings import bindings_of
from lipscope.tui.keys.motion import is_focused
from lipscope.tui.numerals import rate_text
from lipscope.tui.panes import Cells, Goto, Sheet
from lipscope.tui.plots.bands import sure_style
from lipscope.tui.radii.area import area_drawing, histogram_drawing
from lipscope.tui.radii.attack_plot import AttackPlot, gap_drawing
from lipscope.tui.radii.classes import ClassRow, class_heading, class_line, class_rows, radii_sheet
from lipscope.tui.results import results_notice, verdict_words
from lipscope.tui.widgets.at_eps import EpsPane
from lipscope.tui.widgets.chart import Chart
from lipscope.tui.widgets.eps_line import EpsLine
from lipscope.tui.widgets.eps_table import EpsTable
from lipscope.tui.widgets.fold import FoldBar
from lipscope.tui.widgets.long_list import LongList
from lipscope.tui.widgets.notice import Notice
from lipscope.tui.widgets.panel import Panel
from lipscope.tui.work.state import State
from lipscope.units import format_eps
from lipscope.visible import harmless

HUGE = 44
"""Lines from which on there is room below the classes for what attacks found."""


class RadiiPane(EpsPane):
    """The screen of the certified radii."""

    BINDINGS = bindings_of("Radii")
    NEED_RADII = frozenset({"log_axis", "open_images"})

    MOVING = "#radii-classes"

    _shown: Certificates | None = None
    _log = False
    _attack = False
    _lines: Sequence[ClassRow] = ()

    def compose(self) -> ComposeResult:
        """A line of words on top; histogram and area on one axis, tables beside them."""
        yield Notice("results", id="radii-notice")
        with Vertical(id="radii-content"):
            yield EpsLine(self.choose_eps, id="eps-line")
            with Container(id="radii-panes"):
                with Container(id="radii-plots"):
                    with Vertical(id="radii-curve-panel", classes="panel"):
                        for name in ("radii-histogram", "radii-area"):
                            yield Chart(id=name, pick=self.pick_eps, turn=self.action_move)
                    yield AttackPlot(id="radii-attack")
                with Container(id="radii-tables"):
                    yield Panel(EpsTable(self.choose_eps, id="radii-accuracy", about=True), id="radii-accuracy-panel")
                    with Vertical(id="radii-classes-panel", classes="panel") as panel:
                        panel.border_title = "class by class"
                        yield LongList(id="radii-classes")
                    yield Panel(Chart(id="radii-beside"), id="radii-beside-panel", title="attack distance − radius")
            yield FoldBar("#radii-plots", "left", "plots")
            yield FoldBar("#radii-tables", "right", "radii")

    def show(self, state: State) -> None:
        """Show another state."""
        self.query_one(Notice).show(results_notice(state))
        certificates = state.results.certificates
        self.set_class(certificates is None, "-empty")
        if certificates is not self._shown:
            self._shown = certificates
            self.refresh_bindings()
            self.show_eps()

    def show_eps(self) -> None:
        """Counts and plots at the radius chosen."""
        certificates = self.certificates
        if certificates is None:
            return
        self.query_one(EpsLine).show(certificates, self.eps)
        self.query_one(EpsTable).show(certificates, self.eps, self.listed)
        self._lines = class_rows(certificates, self.eps)
        classes = self.query_one("#radii-classes", LongList)
        lines, sure, word = self._lines, sure_style(certificates), verdict_words(certificates)[0]
        self.query_one("#radii-accuracy-panel").border_title = f"{word} accuracy, per cent of all images"
        classes.show(
            len(lines), lambda place, width: class_line(lines[place], width, sure),
            lambda width: class_heading(width, word), place=classes.place
        )  # fmt: skip
        self.query_one("#radii-histogram", Chart).show(histogram_drawing(certificates, self.eps, log=self._log))
        self._draw_area()
        attacked = certificates.attack_distance is not None
        self.set_class(self._attack and attacked, "-attack")
        self.set_class(attacked and self.size.height >= HUGE, "-huge")
        self.query_one("#radii-beside", Chart).show(gap_drawing(certificates) if attacked else None)
        if attacked and self._attack:
            self.query_one(AttackPlot).show(certificates, log=self._log)
        total, right = len(certificates), int(certificates.correct.sum())
        shares = [f"{format_eps(eps)} {rate_text(certificates.certified_count(eps), total)}" for eps in self.listed]
        room = self.size.width - 32
        while len(shares) > 1 and len(", ".join(shares)) > room:  # whole ones, as many as the line of words holds
            shares.pop()
        self.say_folded(left=f"{right:,} right images, {total - right:,} wrong", right=f"{', '.join(shares)} {word}")
        self.query_one("#radii-curve-panel").border_title = f"radii of {right:,} right images"

    @on(events.DescendantFocus)
    @on(events.DescendantBlur)
    def _draw_area(self) -> None:
        """The shares over the radii; over them those of the class under the cursor while its list has the focus."""
        certificates, row = self.certificates, self.chosen_class
        if certificates is None:
            return
        chosen = row if row is not None and is_focused(self.query_one("#radii-classes")) else None
        wrong = len(certificates) - int(certificates.correct.sum())
        self.query_one("#radii-curve-panel").border_subtitle = (
            f"line: {harmless(chosen.name, 20)} alone" if chosen else f"{wrong:,} wrong have no radius"
        )
        drawing = area_drawing(certificates, self.eps, chosen.label if chosen else None)
        self.query_one("#radii-area", Chart).show(drawing)

    @property
    def chosen_class(self) -> ClassRow | None:
        """The class under the cursor."""
        return self.query_one("#radii-classes", LongList).under(self._lines)

    def on_resize(self) -> None:
        """Words as the new width wants them."""
        self.show_eps()

    @on(LongList.Chosen, "#radii-classes")
    def _other_class(self) -> None:
        if is_focused(self.query_one("#radii-classes")):
            self._draw_area()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without an attack there is nothing to compare the radii with."""
        if action == "show_attack" and (self.certificates is None or self.certificates.attack_distance is None):
            return False
        return super().check_action(action, parameters)

    def action_log_axis(self) -> None:
        """Count the images on a logarithmic axis, or on a linear one again."""
        self._log = not self._log
        self.show_eps()

    def action_show_attack(self) -> None:
        """What an attack found against what is proved, or the radii again."""
        self._attack = not self._attack
        self.show_eps()

    @on(LongList.Entered, "#radii-classes")
    def action_open_images(self) -> None:
        """The images of the class under the cursor while its list has the focus, else those just beyond eps."""
        row = self.chosen_class if is_focused(self.query_one("#radii-classes")) else None
        choice = Choice("certified", eps=self.eps) if row is None else Choice(label=row.label, eps=self.eps)
        self.post_message(Goto("images", choice))

    def step_back(self) -> bool:
        """Close the entry if it is open, leave the attack; False when there is nothing to undo."""
        if super().step_back():
            return True
        if attack := self._attack:
            self.action_show_attack()
        return attack

    def sheet(self) -> Sheet:
        """All images at the radii that are listed and at eps, then every class at eps."""
        certificates = self.certificates
        if certificates is None:
            return Sheet(facts={"notice": results_notice(self.state)})
        return radii_sheet(certificates, self.eps, self.listed)

    def copied(self) -> str:
        """The line of eps, and the class under the cursor."""
        certificates = self.certificates
        if certificates is None:
            return ""
        certified, total = certificates.certified_count(self.eps), len(certificates)
        word = verdict_words(certificates)[0]
        line = f"eps {format_eps(self.eps)}\t{certified}\tof {total}\t{rate_text(certified, total)} {word}"
        row = self.chosen_class
        beside = f"\tclass {row.name}\t{row.certified} of {row.images}" if row is not None else ""
        return line + beside

    def cells(self) -> Cells:
        """The numbers at eps, and those of the class under the cursor."""
        certificates, row = self.certificates, self.chosen_class
        if certificates is None:
            return {}
        wanted = [("all", format_eps(self.eps)), *([(row.label, format_eps(self.eps))] if row is not None else [])]
        return {
            f"{line['class_name'] or 'all'}: {name}": value
            for line in radii_sheet(certificates, self.eps).rows if (line["class"], line["radius_above"]) in wanted
            for name, value in line.items()
        }  # fmt: skip
