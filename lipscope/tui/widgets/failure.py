"""Why something could not be shown, and what to do next."""

from __future__ import annotations

from textual.widgets import Static

from lipscope.errors import LipscopeError
from lipscope.tui.text import harmless
from lipscope.tui.widgets.facts import grid


class Failure(Static):
    """An error inside a pane; invisible while there is none."""

    def __init__(self, title: str, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes="panel", markup=False)
        self.border_title = title
        self.display = False
        self._error: LipscopeError | None = None

    def show(self, error: LipscopeError | None) -> None:
        """Show what, where, why and what next; None hides the box."""
        if error is self._error:
            return
        self._error = error
        self.display = error is not None
        if error is not None:
            parts = (
                ("what", error.what),
                ("where", error.where),
                ("why", error.why),
                ("next step", error.next_step),
            )
            self.update(grid((label, harmless(text, 400)) for label, text in parts if text))
