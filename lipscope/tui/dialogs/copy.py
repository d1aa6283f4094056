"""Copying through the terminal (OSC 52), so that it works over SSH: a row, or one value of it chosen in a dialog."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual import on
from textual.app import App, ComposeResult
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from lipscope.tui.dialogs.dialog import Dialog
from lipscope.tui.keys.bindings import MOVES, bindings_of
from lipscope.tui.panes import Cells
from lipscope.visible import harmless, visible

NAME = 34
"""Cells of the longest name."""

COPIED = 2**16
"""Characters that are copied at most."""


class CopyScreen(Dialog[str | None]):
    """The values of one row by name; enter or a click copies one."""

    BINDINGS = bindings_of("Copy", MOVES)

    def __init__(self, cells: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._cells = cells

    def compose(self) -> ComposeResult:
        """One line a value."""
        width = min(max((len(harmless(name, NAME)) for name, _ in self._cells), default=0), NAME)
        lines = (f"{harmless(name, NAME):{width}}  {harmless(value)}" for name, value in self._cells)
        values = OptionList(*(Option(Content(line)) for line in lines), id="copy-values")
        whole = Static(id="copy-whole", markup=False)
        yield self.box(values, whole, id="copy", title="copy one value", keys="enter copies, esc closes")

    @on(OptionList.OptionHighlighted)
    def _show(self, message: OptionList.OptionHighlighted) -> None:
        """Below the list, over several lines: a line of the list is cut where the window ends."""
        self.query_one("#copy-whole", Static).update(harmless(self._cells[message.option_index][1], 300))

    @on(OptionList.OptionSelected)
    def _copy(self, message: OptionList.OptionSelected) -> None:
        self.dismiss(self._cells[message.option_index][1])


def pasteable(text: str) -> str:
    r"""The text with all its letters, and nothing in it that a paste could set off: no control or format characters.

    Tabs stay, between the cells of a row. Beyond :data:`COPIED` characters it is cut, as terminals would refuse it.

    >>> pasteable("a\tb\nrm -rf\x1b")
    'a\tb\\nrm -rf\\x1b'
    """
    part = text if len(text) <= COPIED else text[: COPIED - 1] + "…"
    return visible(part, keep="\t")


def copy(app: App[Any], text: str) -> None:
    """Copy a text, and say so; where there is none, say that."""
    if text:
        app.copy_to_clipboard(pasteable(text))
        app.notify(harmless(text.replace("\t", "  "), 60), title="copied", timeout=3, markup=False)
    else:
        app.notify("nothing is selected here", title="copy", timeout=3, markup=False)


def copy_cell(app: App[Any], cells: Cells) -> None:
    """Let the user choose one of the values by its name, and copy it."""
    from lipscope.tui.dialogs.report import latex_row, markdown_row

    if known := [(name, str(value)) for name, value in cells.items() if value is not None]:
        values = [value for _, value in known]
        rows = [("the row as Markdown", markdown_row(values)), ("the row as LaTeX", latex_row(values))]
        app.push_screen(CopyScreen([*known, *rows]), lambda text: None if text is None else copy(app, text))
    else:
        copy(app, "")
