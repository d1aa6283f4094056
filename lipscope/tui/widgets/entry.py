"""A text that is typed on a screen, and ends with enter or escape."""

from __future__ import annotations

from collections.abc import Callable

from textual import events
from textual.widgets import Input

from lipscope.tui.panes import Pane


class Entry(Input):
    """Hidden until it is opened. However fast the keys come, those after enter or escape are no longer typed into it.

    ``Input`` says that it was submitted, and hands escape on, by messages: the next keys overtake both.

    Args:
        submitted: takes the text, in the same moment; closes the entry if it is content.
    """

    def __init__(self, submitted: Callable[[str], None], *, placeholder: str, id: str, max_length: int = 0) -> None:  # noqa: A002 - Textual's name
        super().__init__(placeholder=placeholder, id=id, compact=True, max_length=max_length)
        self._submitted = submitted
        self.display = False

    def _on_key(self, event: events.Key) -> None:  # type: ignore[override]  # Textual takes either kind
        if event.key not in ("enter", "escape") and self.screen.focused is self:
            return
        event.stop()
        event.prevent_default()
        if self.screen.focused is not self:
            self.app.post_message(events.Key(event.key, event.character))
        elif event.key == "enter":
            self._submitted(self.value)
        else:
            next(pane for pane in self.ancestors if isinstance(pane, Pane)).step_back()
