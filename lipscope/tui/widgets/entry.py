"""A text that is typed on a screen, and ends with enter or escape; keys that come before it has opened are its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual import events
from textual.widget import Widget
from textual.widgets import Input

from lipscope.tui.keys.motion import focus


class Entry(Input):
    """Hidden until it is opened. However fast the keys come, those after enter or escape are no longer typed into it.

    ``Input`` says that it was submitted, and hands escape on, by messages: the next keys overtake both. ``submitted``
    takes the text, in the same moment; it closes the entry if it is content.
    """

    def __init__(self, submitted: Callable[[str], None], **given: Any) -> None:
        super().__init__(compact=True, **given)
        self._submitted = submitted
        self.display = False

    def open(self) -> None:
        """Let the user type."""
        self.display = True
        focus(self)

    def close(self) -> None:
        """Forget what was typed."""
        self.value, self.display = "", False

    async def _on_key(self, event: events.Key) -> None:
        if event.key not in ("enter", "escape") and self.screen.focused is self:
            return
        event.stop()
        event.prevent_default()
        if self.screen.focused is not self:
            self.app.post_message(events.Key(event.key, event.character))
        elif event.key == "enter":
            self._submitted(self.value)
        else:
            await self.app.run_action("back")


class TypedAhead:
    """Hands keys on to an entry; remembers which, as those that the entry has no use for come back."""

    def __init__(self) -> None:
        self._handed_on: list[events.Key] = []

    def hand_on(self, event: events.Key, focused: Widget | None) -> None:
        """Give a key that nothing below the app has used to the entry in focus, before it means something here."""
        if event in self._handed_on:
            self._handed_on.remove(event)
        elif isinstance(focused, Input):
            event.prevent_default()
            again = events.Key(event.key, event.character)
            if not again.is_printable:  # the entry stops the others
                self._handed_on.append(again)
            focused.post_message(again.set_sender(focused))  # what the app sends never comes back to it
