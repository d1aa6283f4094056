"""The layers through a training: first and last value of bound and gradient norm, and how they went."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import events
from textual.widgets import DataTable

from lipscope.tui.text import harmless
from lipscope.tui.training.lines import TREND, LayerRow, bound_cell, ends, ratio_cell, trend

NARROW = (("layer", 24), ("bound ≤", 12), ("grad 1", 6), ("last", 6))
WIDE = (
    ("layer", 24), ("bound ≤ 1st", 12), ("last", 12), ("", TREND),
    ("grad 1st", 8), ("last", 6), ("", TREND),
)  # fmt: skip
"""Bounds are proved, gradient ratios are estimates; the panel's title says so."""

NEEDED = sum(width + 2 for _, width in WIDE)


class RunTable(DataTable[Text]):
    """One line a layer."""

    def __init__(self) -> None:
        super().__init__(id="run-table", cursor_type="row", zebra_stripes=False, cell_padding=1)
        self._rows: list[LayerRow] = []
        self._wide: bool | None = None

    @property
    def chosen(self) -> LayerRow | None:
        """The layer under the cursor."""
        return self._rows[self.cursor_row] if 0 <= self.cursor_row < len(self._rows) else None

    def show(self, rows: Sequence[LayerRow]) -> None:
        """Show other values; the cursor stays on its row."""
        self._rows = list(rows)
        self._draw()

    def on_resize(self, _event: events.Resize) -> None:
        """As many columns as there is room for."""
        if self._wide is not (self.size.width >= NEEDED):
            self._draw()

    def _draw(self) -> None:
        at = self.cursor_row
        self._wide = self.size.width >= NEEDED
        self.clear(columns=True)
        for number, (heading, width) in enumerate(WIDE if self._wide else NARROW):
            self.add_column(Text(heading, justify="right" if number else "left"), width=width)
        for row in self._rows:
            self.add_row(*_cells(row, wide=self._wide))
        if self._rows:
            self.move_cursor(row=min(at, len(self._rows) - 1))


def _cells(row: LayerRow, *, wide: bool) -> list[Text]:
    bounds, gradients = [bound_cell(value) for value in ends(row.bounds)], [ratio_cell(v) for v in ends(row.gradients)]
    texts = [*bounds, trend(row.bounds), *gradients, trend(row.gradients)] if wide else [bounds[1], *gradients]
    name = Text(harmless(row.name, (WIDE if wide else NARROW)[0][1], keep="end"))
    return [name, *(Text(text, justify="right") for text in texts)]
