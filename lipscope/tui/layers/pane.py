"""Layers: one line each on a shared axis, and what is known of the selected one."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical

from lipscope.tui.keys.bindings import bindings_of
from lipscope.tui.keys.motion import focus, is_focused
from lipscope.tui.layers.detail import LayerDetail
from lipscope.tui.layers.lines import Layout, heading, item_line, layout, sigma_axis, sort_at, widest
from lipscope.tui.layers.rows import SORTS, Line, Row, Rows, arranged, folded, main_row, row_text, sheet_row
from lipscope.tui.panes import Cells, Pane, Sheet, Wanted, next_of
from lipscope.tui.widgets.entry import Entry
from lipscope.tui.widgets.fold import FoldBar
from lipscope.tui.widgets.long_list import LongList
from lipscope.tui.widgets.notice import Notice, error_facts
from lipscope.tui.work.state import Phase, State
from lipscope.visible import harmless

EMPTY = "The file holds no tensors: there is nothing to analyse. Is it the file that was meant?"


class LayersPane(Pane):
    """The second screen."""

    BINDINGS = bindings_of("Layers")

    _of: Rows | None = None
    _rows: Sequence[Row] = ()
    _lines: Sequence[Line] = ()
    _unfolded: frozenset[str] = frozenset()
    _sort: str | None = None
    _reverse = False
    _wanted = ""
    _chosen_key: str | None = None
    _placed = -1
    _main = ""  # the name of the layer that matters most

    def compose(self) -> ComposeResult:
        """List and detail, side by side or stacked."""
        with Vertical(id="table-side", classes="panel"):
            yield Notice("the analysis failed", id="layers-failure")
            yield Entry(self._keep_filter, placeholder="part of a name or kind", id="filter")
            yield Notice("nothing to list", id="layers-empty")
            yield LongList(id="layers-list")
        yield LayerDetail(id="detail", classes="panel")
        yield FoldBar("#table-side", "left", "layers")
        yield FoldBar("#detail", "right", "selected", under=0)  # below the list there is room

    # What is shown

    def show(self, state: State) -> None:
        """Show another state; the cursor stays on its layer, also where its last move has not been told of yet."""
        self._follow()
        self._main = main_row(state)
        if self._of is None or self._of.header is not state.header:
            self._of = Rows(state.header)
        self._rows = self._of.at(state)
        self.query_one("#layers-failure", Notice).show(error_facts(state.failure))
        nothing = not self._rows and state.failure is None and not state.phase.active
        self.query_one("#layers-empty", Notice).show(
            (state.doing if state.phase is Phase.WAITING else EMPTY) if nothing else ""
        )
        self._arrange()
        self._show_kernel()

    def _show_kernel(self) -> None:
        """Hand on the kernel of the selected layer; ask for it where it is looked at."""
        detail, state, row = self.query_one(LayerDetail), self.state, self.chosen
        if detail.view != "kernel":
            return
        if row is not None and (state.kernel is None or state.kernel.layer != row.key):
            self.post_message(Wanted(lambda session: session.want_kernel(row.key)))
        detail.kernel, detail.on_disk = state.kernel, state.on_disk
        detail.redraw()

    @property
    def _flat(self) -> bool:
        """Whether every layer has a line of its own: filtered and sorted rows are no neighbours."""
        return bool(self._wanted) or self._sort is not None or self._reverse

    def _arrange(self) -> None:
        """Filter, sort and fold the rows that are known; the cursor stays on its layer."""
        state, shown, most = self.state, self._shown(), self._main
        self._lines = lines = [(row,) for row in shown] if self._flat else folded(shown, self._unfolded)
        # A cursor that was never moved stands on the layer that matters, whatever becomes known.
        key = self._chosen_key or most
        place = next((k for k, line in enumerate(lines) for row in line if row.key == key), 0) if key else 0
        longest = widest(lines)
        over = sigma_axis(row.report for row in shown if row.report is not None)

        def columns(width: int) -> Layout:
            return layout(width, longest, alone=not state.modelled)

        self.query_one(LongList).show(
            len(lines), lambda at, width: item_line(lines[at], columns(width), over, most),
            lambda width: heading(columns(width), over), place=place,
        )  # fmt: skip
        self._placed = self.query_one(LongList).place
        what = "layers" if state.modelled else "tensors"
        count = f"{len(shown):,} of {len(self._rows):,}" if self._wanted else f"{len(self._rows):,}"
        matching = f" matching {harmless(self._wanted, 20)}" if self._wanted else ""
        self.query_one("#table-side").border_title = Text(f"{count} {what}{matching}")
        self._say_order()

    def _shown(self) -> list[Row]:
        return arranged(self._rows, wanted=self._wanted, sort=self._sort, reverse=self._reverse)

    def _say_order(self) -> None:
        order = SORTS[self._sort][1] if self._sort is not None else "forward order"
        if self._sort is None and self._of is not None and not self.state.modelled:
            order = "by name" if self._of.by_name else "in the order of the file"
        if self._reverse:
            order += ", reversed"
        side = self.query_one("#table-side")
        side.border_subtitle = "enter keeps the filter, esc clears it" if is_focused(self.query_one(Entry)) else order

    # The selected layer

    @property
    def _line(self) -> Line | None:
        return self.query_one(LongList).under(self._lines)

    @property
    def chosen(self) -> Row | None:
        """The layer under the cursor; the first of those that are folded."""
        return self._line[0] if self._line is not None else None

    @on(LongList.Chosen, "#layers-list")
    def _other_line(self, message: LongList.Chosen) -> None:
        message.stop()
        row = self.chosen
        self._follow()
        self.query_one(LayerDetail).show(row)
        self._show_kernel()
        self.say_folded(right=row_text(row) if row else "")

    def _follow(self) -> None:
        """The cursor stays on the layer to which it was moved, since the rows were last arranged."""
        place, row = self.query_one(LongList).place, self.chosen
        if place != self._placed and row is not None:
            self._placed = place
            self._chosen_key = None if row.key == self._main else row.key

    def lead(self, to: object) -> None:
        """The layer of that name."""
        self._wanted, self._sort, self._reverse, self._chosen_key = "", None, False, str(to)
        self._arrange()

    @on(events.DescendantFocus)
    @on(events.DescendantBlur)
    def _focus_changed(self) -> None:
        self.refresh_bindings()
        self._say_order()

    def focus_main(self) -> None:
        """Put the focus where the keys of this screen work."""
        focus(self.query_one("#detail-text" if self.has_class("-enlarged") else "#layers-list"))

    # Actions

    @on(LongList.HeadingPressed, "#layers-list")
    def _sort_by_heading(self, message: LongList.HeadingPressed) -> None:
        """The first click sorts, the second reverses, the third leaves the forward order."""
        width, alone = self.query_one(LongList).size.width, not self.state.modelled
        key = sort_at(layout(width, widest(self._lines), alone=alone), message.place)
        if self._sort != key:
            self._sort, self._reverse = key, False
        elif not self._reverse:
            self._reverse = True
        else:
            self._sort, self._reverse = None, False
        self._resort()

    def _resort(self) -> None:
        """Another order begins at its top: the row that it was asked for."""
        self._chosen_key = None
        self._arrange()
        if self._flat:
            self.query_one(LongList).choose(0)

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._sort, self._reverse = next_of([None, *SORTS], self._sort), False
        self._resort()

    def action_reverse(self) -> None:
        """Turn the order round."""
        self._reverse = not self._reverse
        self._resort()

    def action_unfold(self) -> None:
        """Unfold the neighbours under the cursor, or fold all that were unfolded."""
        line = self._line
        if line is not None and len(line) > 1:
            self._chosen_key = line[0].key
            self._unfolded |= {line[0].key}
        else:
            self._unfolded = frozenset()
        self._arrange()

    def action_log_axis(self) -> None:
        """Switch the count axis between linear and logarithmic."""
        detail = self.query_one(LayerDetail)
        detail.log_axis = not detail.log_axis
        detail.redraw()

    def action_next_angle(self) -> None:
        """Draw the next of an activation's angles, or of a kernel's taps."""
        self.query_one(LayerDetail).turn()

    def action_view(self) -> None:
        """Look at the selected layer in the next way."""
        self.query_one(LayerDetail).next_view()
        self._show_kernel()

    def action_filter(self) -> None:
        """Show the filter and type into it."""
        self.query_one(Entry).open()

    @on(LongList.Entered, "#layers-list")
    def action_enlarge(self) -> None:
        """Unfold neighbours; give the detail of a layer the whole screen, or take it back."""
        if self._line is not None and len(self._line) > 1:
            self.action_unfold()
            return
        self.toggle_class("-enlarged")
        self.focus_main()

    @on(Entry.Changed, "#filter")
    def _filter(self, message: Entry.Changed) -> None:
        self._wanted = message.value
        self._arrange()

    def _keep_filter(self, wanted: str) -> None:
        self.query_one(Entry).display = bool(wanted)
        self.focus_main()

    def step_back(self) -> bool:
        """Undo the innermost of: the filter, the enlarged detail, what is unfolded. False when there is nothing."""
        if super().step_back():
            return True
        if self.has_class("-enlarged"):
            self.action_enlarge()
            return True
        unfolded, self._unfolded = self._unfolded, frozenset()
        if unfolded:
            self._arrange()
        return bool(unfolded)

    # Export

    def sheet(self) -> Sheet:
        """The layers that are shown, in the order shown, with every column."""
        notes = {row.key: list(row.report.notes) for row in self._shown() if row.report and row.report.notes}
        norms = (report.gradient_norm for report in self.state.layers.values())
        images = next((norm.images for norm in norms if norm is not None), None)  # on which they were estimated
        return Sheet([sheet_row(row) for row in self._shown()], {"gradients": images, "notes": notes})

    def cells(self) -> Cells:
        """The numbers of the selected layer."""
        row = self.chosen
        return sheet_row(row) if row is not None else {}
