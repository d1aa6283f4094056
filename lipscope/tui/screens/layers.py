"""Layers: the table, and what is known of the selected layer."""

from __future__ import annotations

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.widgets import Input

from lipscope.tui.bindings import bindings_of
from lipscope.tui.rows import COLUMNS, Row, arranged, next_sort, rows
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
        self._rows: list[Row] = []
        self._modelled = True
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
        self._modelled = state.header.config is not None
        self._rows = rows(state)
        self.query_one(Failure).show(state.failure)
        self._arrange()

    def _arrange(self) -> None:
        """Filter and sort the rows that are known."""
        shown = arranged(self._rows, wanted=self._wanted, sort=self._sort)
        self.query_one(LayerTable).show(shown)
        what = "layers" if self._modelled else "tensors"
        count = f"{len(shown):,} of {len(self._rows):,}" if self._wanted else f"{len(self._rows):,}"
        matching = f" matching {harmless(self._wanted, 20)}" if self._wanted else ""
        self.query_one("#table-side").border_title = Text(f"{count} {what}{matching}")
        self._say_order()

    def _say_order(self) -> None:
        unsorted = "forward order" if self._modelled else "by name"
        order = next((column.order for column in COLUMNS if column.key == self._sort), unsorted)
        side = self.query_one("#table-side")
        side.border_subtitle = "enter keeps the filter, esc clears it" if self._typing else order

    @property
    def _typing(self) -> bool:
        return self.query_one("#filter", Input).has_focus

    @on(events.DescendantFocus)
    @on(events.DescendantBlur)
    def _focus_changed(self) -> None:
        self.refresh_bindings()
        self._say_order()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While a filter is typed, the keys are letters."""
        return not (self._typing and action in {"filter", "sort", "log_axis", "enlarge"})

    def focus_main(self) -> None:
        """Put the focus where the keys of this screen work."""
        if self.has_class("-enlarged"):
            self.query_one("#detail-text").focus()
        else:
            self.query_one(LayerTable).focus()

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
        self._arrange()

    @on(LayerTable.RowSelected)
    def _enlarge_by_click(self) -> None:
        self.action_enlarge()

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._sort = next_sort(self._sort)
        self._arrange()

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
        self.focus_main()

    @on(Input.Changed, "#filter")
    def _filter(self, message: Input.Changed) -> None:
        self._wanted = message.value
        self._arrange()

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
            self.action_enlarge()
            return True
        return False
