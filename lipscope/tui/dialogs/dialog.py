"""What opens over the screens, in a box that leaves the app visible behind it."""

from __future__ import annotations

from textual.containers import VerticalScroll
from textual.screen import ModalScreen, ScreenResultType
from textual.widget import Widget


class Dialog(ModalScreen[ScreenResultType]):
    """A box in the middle; closing it changes nothing."""

    @staticmethod
    def box(*inside: Widget, id: str, title: str, keys: str) -> VerticalScroll:  # noqa: A002 - Textual's name
        """The box: its title above, its keys below; the keys that move scroll it where nothing inside takes them."""
        alone = not any(widget.can_focus for widget in inside)
        made = VerticalScroll(*inside, id=id, classes="panel dialog", can_focus=alone)
        made.border_title, made.border_subtitle = title, keys
        return made

    def action_close(self) -> None:
        """Back to where the user was."""
        self.dismiss()
