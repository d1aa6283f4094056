"""Layers: the table, and what is known of the selected layer."""

from __future__ import annotations

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.widgets import Input

from lipscope.tui.keys.bindings import bindings_of
from lipscope.tui.keys.motion import focus
from lipscope.tui.layers.detail import LayerDetail
from lipscope.tui.layers.rows import COLUMNS, Row, arranged, next_sort, row_text, rows
from lipscope.tui.layers.sheet import SHEET_COLUMNS, sheet_row
from lipscope.tui.layers.table import LayerTable
from lipscope.tui.layers.tree import LayerTree
from lipscope.tui.panes import Sheet, named
from lipscope.tui.text import harmless
from lipscope.tui.widgets.failure import Failure
from lipscope.tui.widgets.fold import FoldBar
from lipscope.tui.widgets.notice import Notice
from lipscope.tui.work.messages import KernelWanted
from lipscope.tui.work.state import State

LETTERS = frozenset({"filter", "sort", "reverse", "tree", "log_axis", "next_angle", "view", "enlarge"})
"""Actions whose keys are letters while a filter is typed."""


class LayersPane(Container):
    """The second screen."""

    BINDINGS = bindings_of("Layers")

    def __init__(self) -> None:
        super().__init__(id="layers-pane")
        self._rows: list[Row] = []
        self._modelled = True
        self._sort: str | None = None
        self._reverse = False
        self._state: State | None = None
        self._wanted = ""

    def compose(self) -> ComposeResult:
        """Table and detail, side by side or stacked."""
        with Vertical(id="table-side", classes="panel"):
            yield Failure("the analysis failed", id="layers-failure")
            filter_input = Input(placeholder="part of a name or kind", id="filter", compact=True)
            filter_input.display = False
            yield filter_input
            yield Notice("nothing to list", id="layers-empty")
            yield LayerTable()
            yield LayerTree()
        yield LayerDetail()
        yield FoldBar("#table-side", "left", "layers")
        yield FoldBar("#detail", "right", "selected")

    def show(self, state: State) -> None:
        """Show another state."""
        self._state = state
        self._modelled = state.modelled
        self._rows = rows(state)
        self.query_one(Failure).show(state.failure)
        self.query_one(Notice).show(self._empty(state))
        self._arrange()
        self._show_kernel()

    def _show_kernel(self) -> None:
        """Hand on the kernel of the selected layer; ask for it where it is looked at."""
        detail, state = self.query_one(LayerDetail), self._state
        if state is None or detail.view != "kernel":
            return
        row = self.query_one(LayerTable).chosen
        if row is not None and (state.kernel is None or state.kernel.layer != row.key):
            self.post_message(KernelWanted(row.key))
        detail.show_kernel(state.kernel, state.on_disk)

    def _empty(self, state: State) -> str:
        if self._rows or state.failure is not None or state.phase.active:
            return ""
        return "The file holds no tensors: there is nothing to analyse. Is it the file that was meant?"

    def _arrange(self) -> None:
        """Filter and sort the rows that are known."""
        shown = self._shown()
        self.query_one(LayerTable).show(shown)
        if self.has_class("-tree"):
            self.query_one(LayerTree).show(shown)
        what = "layers" if self._modelled else "tensors"
        count = f"{len(shown):,} of {len(self._rows):,}" if self._wanted else f"{len(self._rows):,}"
        matching = f" matching {harmless(self._wanted, 20)}" if self._wanted else ""
        self.query_one("#table-side").border_title = Text(f"{count} {what}{matching}")
        self._say_order()

    def _shown(self) -> list[Row]:
        return arranged(self._rows, wanted=self._wanted, sort=self._sort, reverse=self._reverse)

    def _say_order(self) -> None:
        unsorted = "forward order" if self._modelled else "by name"
        order = next((column.order for column in COLUMNS if column.key == self._sort), unsorted)
        if self._reverse:
            order += ", reversed"
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
        return not (self._typing and action in LETTERS)

    def focus_main(self) -> None:
        """Put the focus where the keys of this screen work."""
        if self.has_class("-enlarged"):
            focus(self.query_one("#detail-text"))
        else:
            focus(self.query_one(LayerTree if self.has_class("-tree") else LayerTable))

    @on(LayerTable.Chosen)
    def _chosen(self, message: LayerTable.Chosen) -> None:
        self.query_one(LayerDetail).show(message.row)
        self._show_kernel()
        for bar in self.query(FoldBar):
            if bar.side == "right":
                bar.say(row_text(message.row) if message.row else "")

    @on(LayerTree.Chosen)
    def _chosen_in_tree(self, message: LayerTree.Chosen) -> None:
        self.query_one(LayerTable).choose(message.key)

    @on(LayerTable.HeaderSelected)
    def _sort_by_header(self, message: LayerTable.HeaderSelected) -> None:
        """The first click sorts, the second reverses, the third leaves the forward order."""
        key = str(message.column_key.value)
        if self._sort != key:
            self._sort, self._reverse = key, False
        elif not self._reverse:
            self._reverse = True
        else:
            self._sort, self._reverse = None, False
        self._arrange()

    @on(LayerTree.Opened)
    @on(LayerTable.RowSelected)
    def _enlarge_by_click(self) -> None:
        self.action_enlarge()

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._sort, self._reverse = next_sort(self._sort, self.query_one(LayerTable).column_keys), False
        self._arrange()

    def action_reverse(self) -> None:
        """Turn the order round."""
        self._reverse = not self._reverse
        self._arrange()

    def action_tree(self) -> None:
        """Show the names as a tree instead of the table, or the table again."""
        self.toggle_class("-tree")
        self._arrange()
        chosen = self.query_one(LayerTable).chosen
        if self.has_class("-tree") and chosen is not None:
            self.query_one(LayerTree).choose(chosen.key)
        self.focus_main()

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
        entry = self.query_one("#filter", Input)
        entry.display = True
        focus(entry)

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
        if self.has_class("-tree"):
            self.action_tree()
            return True
        return False

    def sheet(self) -> Sheet:
        """The layers that are shown, in the order shown, with every column."""
        state = self._state
        notes = {row.key: list(row.report.notes) for row in self._shown() if row.report and row.report.notes}
        facts = {"gradients": _gradients_of(state), "notes": notes} if state is not None else {}
        return Sheet(SHEET_COLUMNS, tuple(sheet_row(row) for row in self._shown()), facts)

    def copied(self) -> str:
        """The selected layer."""
        row = self.query_one(LayerTable).chosen
        return "\t".join(str(value) for value in sheet_row(row)) if row is not None else ""

    def cells(self) -> list[tuple[str, str]]:
        """The numbers of the selected layer."""
        row = self.query_one(LayerTable).chosen
        return named(SHEET_COLUMNS, sheet_row(row)) if row is not None else []


def _gradients_of(state: State) -> str | None:
    """On which images the gradient norms were estimated."""
    norms = (report.gradient_norm for report in state.layers.values())
    return next((norm.images for norm in norms if norm is not None), None)
