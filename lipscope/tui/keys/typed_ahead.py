"""Keys that were typed before the entry that they are meant for had opened."""

from __future__ import annotations

from textual import events
from textual.widget import Widget
from textual.widgets import Input


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
