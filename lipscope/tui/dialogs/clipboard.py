"""Copying through the terminal (OSC 52), so that it works over SSH."""

from __future__ import annotations

from typing import Any

from textual.app import App

from lipscope.tui.text import harmless, pasteable


def copy(app: App[Any], text: str) -> None:
    """Copy a text, and say so; where there is none, say that."""
    if text:
        app.copy_to_clipboard(pasteable(text))
        app.notify(harmless(text.replace("\t", "  "), 60), title="copied", timeout=3, markup=False)
    else:
        app.notify("nothing is selected here", title="copy", timeout=3, markup=False)


def copy_cell(app: App[Any], cells: list[tuple[str, str]]) -> None:
    """Let the user choose one of the values by its name, and copy it."""
    from lipscope.tui.dialogs.copy import CopyScreen
    from lipscope.tui.dialogs.report import latex_row, markdown_row

    if cells:
        values = [value for _, value in cells]
        rows = [("the row as Markdown", markdown_row(values)), ("the row as LaTeX", latex_row(values))]
        app.push_screen(CopyScreen([*cells, *rows]), lambda text: None if text is None else copy(app, text))
    else:
        copy(app, "")
