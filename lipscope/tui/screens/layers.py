"""Layers: the table, and what is known of the selected layer."""

from __future__ import annotations

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.widgets import Input

from lipscope.tui.bindings import bindings_of
from lipscope.tui.rows import COLUMNS, arranged, next_sort, rows
from lipscope.tui.state import State
from lipscope.tui.text import harmless
from lipscope.tui.widgets.failure import Failure
from lipscope.tui.widgets.layer_detail import LayerDetail
from lipscope.tui.widgets.layer_table import LayerTable


class LayersPane(Container):
    """The second screen."""

    BINDINGS = bindings_of("Layers")

    def __init__(self) -> None:
        super().__init__(id="layers-pane")
        self._state: State | None = None
        self._sort: str | None = None
        self._wanted = ""

    def compose(self) -> ComposeResult:
        """Table and detail, side by side or stacked."""
        with Vertical(id="table-side", classes="panel"):
            yield Failure("the analysis failed", id="layers-failure")
            filter_input = Input(placeholder="part of a name or kind", id="filter", compact=True)
            filter_input.display = False
            yield filter_input
            yield LayerTable()
        yield LayerDetail()

    def show(self, state: State) -> None:
        """Show another state."""
        self._state = state
        self.query_one(Failure).show(state.failure)
        all_rows = rows(state)
        shown = arranged(all_rows, wanted=self._wanted, sort=self._sort)
        self.query_one(LayerTable).show(shown)
        side = self.query_one("#table-side")
        what = "tensors" if state.header.config is None else "layers"
        count = f"{len(shown)} of {len(all_rows)}" if self._wanted else f"{len(all_rows)}"
        matching = f" matching {harmless(self._wanted, 20)}" if self._wanted else ""
        side.border_title = f"{count} {what}{matching}"
        order = next((column.order for column in COLUMNS if column.key == self._sort), "forward order")
        if self._sort is None and state.header.config is None:
            order = "by name"
        side.border_subtitle = "enter keeps the filter, esc clears it" if self._typing else order

    @property
    def _typing(self) -> bool:
        return self.query_one("#filter", Input).has_focus

    @on(events.DescendantFocus)
    @on(events.DescendantBlur)
    def _focus_changed(self) -> None:
        self.refresh_bindings()
        self._again()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While a filter is typed, the keys are letters."""
        return not (self._typing and action in {"filter", "sort", "log_axis", "enlarge"})

    def focus_main(self) -> None:
        """Put the focus where the keys of this screen work."""
        self.query_one(LayerTable).focus()

    def _again(self) -> None:
        if self._state is not None:
            self.show(self._state)

    @on(LayerTable.Chosen)
    def _chosen(self, message: LayerTable.Chosen) -> None:
        self.query_one(LayerDetail).show(message.row)

    @on(LayerTable.HeaderSelected)
    def _sort_by_header(self, message: LayerTable.HeaderSelected) -> None:
        key = message.column_key.value
        if any(column.key == key and column.worst for column in COLUMNS):
            self._sort = None if self._sort == key else key
        else:
            self._sort = None
        self._again()

    @on(LayerTable.RowSelected)
    def _enlarge_by_click(self) -> None:
        self.action_enlarge()

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._sort = next_sort(self._sort)
        self._again()

    def action_log_axis(self) -> None:
        """Switch the count axis between linear and logarithmic."""
        detail = self.query_one(LayerDetail)
        detail.log_axis = not detail.log_axis
        detail.redraw()

    def action_filter(self) -> None:
        """Show the filter and type into it."""
        entry = self.query_one("#filter", Input)
        entry.display = True
        entry.focus()

    def action_enlarge(self) -> None:
        """Give the detail the whole screen, or take it back."""
        self.toggle_class("-enlarged")

    @on(Input.Changed, "#filter")
    def _filter(self, message: Input.Changed) -> None:
        self._wanted = message.value
        self._again()

    @on(Input.Submitted, "#filter")
    def _keep_filter(self) -> None:
        self.query_one("#filter", Input).display = bool(self._wanted)
        self.focus_main()

    def step_back(self) -> bool:
        """Undo the innermost of: the filter, the enlarged detail. False when there is nothing to undo."""
        entry = self.query_one("#filter", Input)
        if entry.display:
            entry.value = ""
            entry.display = False
            self.focus_main()
            return True
        if self.has_class("-enlarged"):
            self.remove_class("-enlarged")
            return True
        return False
