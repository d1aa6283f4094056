"""The table of layers. Rows keep their layer's name as key; a changed report changes its cells only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from rich.cells import cell_len
from rich.text import Text
from textual import events, on
from textual.message import Message
from textual.widgets import DataTable
from textual.widgets._data_table import CellKey, ColumnKey, RowKey
from textual.widgets._data_table import Row as TableRow

from lipscope.tui.layers.rows import ABSENT, GAP, PENDING, WIDEST_NAME, Column, Row, fitting_columns
from lipscope.tui.text import harmless

SIDES = 2
"""Cells left free: the scrollbar of a long table."""


class LayerTable(DataTable[Text]):
    """Layers in rows, as many columns as fit."""

    class Chosen(Message):
        """Another layer is under the cursor; ``row`` is None when the table is empty."""

        def __init__(self, row: Row | None) -> None:
            super().__init__()
            self.row = row

    def __init__(self) -> None:
        super().__init__(cursor_type="row", zebra_stripes=False, cell_padding=GAP // 2)
        self._rows: dict[str, Row] = {}
        self._layout: tuple[tuple[Column, int], ...] = ()
        self._chosen: Row | None = None

    @property
    def chosen(self) -> Row | None:
        """The row under the cursor."""
        return self._chosen

    @property
    def column_keys(self) -> list[str]:
        """The columns that are shown."""
        return [column.key for column, _ in self._layout]

    def choose(self, key: str) -> None:
        """Put the cursor on a layer."""
        if key in self._rows:
            self.move_cursor(row=self.get_row_index(key))

    def show(self, rows: list[Row]) -> None:
        """Show other rows, the cursor staying on its layer; only what differs is drawn anew."""
        layout = self._fitting(rows)
        if layout != self._layout or [row.key for row in rows] != list(self._rows):
            self._rebuild(rows, layout)
        else:
            for row in rows:
                if self._rows[row.key] != row:
                    for column, width in layout:
                        self.update_cell(row.key, column.key, _cell(column, row, width))
            self._rows = {row.key: row for row in rows}
        self._announce()

    def _fitting(self, rows: list[Row]) -> tuple[tuple[Column, int], ...]:
        longest = 0
        for row in rows:
            longest = max(longest, cell_len(harmless(row.key, WIDEST_NAME)))
            if longest == WIDEST_NAME:
                break
        return fitting_columns(self.size.width - SIDES, longest)

    def _rebuild(self, rows: list[Row], layout: tuple[tuple[Column, int], ...]) -> None:
        # A cursor that was never moved stays on top, whatever comes to stand there.
        kept, offset = self._chosen if self.cursor_row > 0 else None, self.scroll_offset
        # Rows come and go without the cursor announcing each place it passes.
        with self.prevent(DataTable.RowHighlighted):
            self.clear(columns=layout != self._layout)
            if layout != self._layout:
                for column, width in layout:
                    self.add_column(Text(column.label, justify=_justify(column)), width=width, key=column.key)
            self._layout = layout
            self._fill(rows, layout)
            self._rows = {row.key: row for row in rows}
            if kept is not None and kept.key in self._rows:
                self.move_cursor(row=self.get_row_index(kept.key), scroll=False)
                self.scroll_to(offset.x, offset.y, animate=False)
                self.call_after_refresh(self._scroll_cursor_into_view)

    def _fill(self, rows: list[Row], layout: tuple[tuple[Column, int], ...]) -> None:
        """Add the rows of an empty table: all at once, because one by one takes seconds for tens of thousands."""
        # The first one goes the table's own way, so that cursor and size follow.
        for row in rows[:1]:
            self.add_row(*(_cell(column, row, width) for column, width in layout), key=row.key)
        for place, row in enumerate(rows[1:], 1):
            key = RowKey(row.key)
            self._row_locations[key] = place
            self._data[key] = _Cells(row, layout)
            self.rows[key] = TableRow(key, 1)
        self._update_count += 1

    def _update_column_widths(self, updated_cells: set[CellKey]) -> None:
        """Nothing: every column has a width of its own, whatever its cells hold."""

    def _update_dimensions(self, new_rows: Iterable[RowKey]) -> None:
        """The size of the whole, without measuring the cells of new rows: all widths and heights are set."""
        super()._update_dimensions(())

    def _announce(self) -> None:
        row = next(iter(self._rows.values()), None)
        if self._rows and self.is_valid_row_index(self.cursor_row):
            key = self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value
            row = self._rows.get(str(key))
        if row != self._chosen:
            self._chosen = row
            self.post_message(self.Chosen(row))

    @on(DataTable.RowHighlighted)
    def _moved(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self._announce()

    def action_scroll_home(self) -> None:
        """To the first layer: with a cursor of whole rows, the table's own way to the first column is none."""
        self.action_scroll_top()

    def action_scroll_end(self) -> None:
        """To the last layer."""
        self.action_scroll_bottom()

    def on_resize(self, event: events.Resize) -> None:
        """Fit the columns to the new width."""
        rows = list(self._rows.values())
        if rows and self._fitting(rows) != self._layout:
            self.show(rows)


class _Cells(dict[ColumnKey, Text]):
    """The cells of a row, each made when it comes into sight."""

    def __init__(self, row: Row, layout: tuple[tuple[Column, int], ...]) -> None:
        super().__init__()
        self._row, self._layout = row, layout

    def __missing__(self, key: ColumnKey) -> Text:
        """Make the cell of this column."""
        column, width = next((column, width) for column, width in self._layout if column.key == key.value)
        self[key] = _cell(column, self._row, width)
        return self[key]


def _justify(column: Column) -> Literal["left", "right"]:
    return "left" if column.key in {"name", "kind", "method"} else "right"


def _cell(column: Column, row: Row, width: int) -> Text:
    text = harmless(column.cell(row), width, keep="end" if column.key == "name" else "start")
    style = ""
    if text in (PENDING, ABSENT):
        style = "dim"
    elif text == "not proved":
        style = "bold"
    return Text(text, style=style, justify=_justify(column), no_wrap=True)
