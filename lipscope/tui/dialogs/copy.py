"""The dialog that copies one value of the selected row."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from lipscope.tui.keys.bindings import MOVES, bindings_of
from lipscope.tui.text import harmless

NAME = 34
"""Cells of the longest name."""

AROUND = 10
"""Columns of the window beside the lines: margins, frame, scrollbar."""

WIDEST = 90
"""Cells of a line; what is copied is never cut."""


class CopyScreen(ModalScreen[str | None]):
    """The values of one row by name; enter or a click copies one.

    Args:
        cells: names and values, as they are copied.
    """

    BINDINGS = bindings_of("Copy", MOVES)

    def __init__(self, cells: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._cells = cells

    def compose(self) -> ComposeResult:
        """One line a value."""
        width = min(max((len(harmless(name, NAME)) for name, _ in self._cells), default=0), NAME)
        room = max(min(9 * self.app.size.width // 10, WIDEST + AROUND) - AROUND - width - 2, 8)
        cells = self._cells
        with Vertical(id="copy", classes="panel") as box:
            box.border_title = "copy one value"
            box.border_subtitle = "enter copies, esc closes"
            yield OptionList(
                *(Option(Text(f"{harmless(name, NAME):{width}}  {harmless(value, room)}")) for name, value in cells),
                id="copy-values",
            )

    @on(OptionList.OptionSelected)
    def _copy(self, message: OptionList.OptionSelected) -> None:
        self.dismiss(self._cells[message.option_index][1])

    def action_close(self) -> None:
        """Back without copying."""
        self.dismiss(None)
