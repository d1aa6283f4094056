"""Choices side by side, the chosen one marked; a press on one chooses it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget


class Chips(Widget):
    """One line of words in brackets; as many as fit."""

    class Pressed(Message):
        """One of them was pressed."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._chips: Sequence[tuple[str, str, bool]] = ()

    def show(self, chips: Sequence[tuple[str, str, bool]]) -> None:
        """Show other choices: name, words, and whether it is chosen."""
        if chips != self._chips:
            self._chips = chips
            self.refresh()

    def render(self) -> Content:
        """The chosen ones in reverse."""
        parts = [
            (f" {words} ", "bold reverse" if chosen else "$foreground 70% underline")
            for _, words, chosen in self._fitting()
        ]
        return Content.assemble(*(piece for part in parts for piece in (part, " ")))

    def _fitting(self) -> list[tuple[str, str, bool]]:
        """The chips that fit, the chosen ones among them; those in the middle go first."""
        kept = list(self._chips)
        while sum(cell_len(words) + 3 for _, words, _ in kept) - 1 > self.size.width:
            others = [chip for chip in kept[2:-1] if not chip[2]]
            if not others:
                break
            kept.remove(others[-1])
        return kept

    def on_click(self, event: events.Click) -> None:
        """Choose what is under the mouse."""
        start = 0
        for name, words, _ in self._fitting():
            if start <= event.x - self.styles.padding.left < start + cell_len(words) + 2:
                self.post_message(self.Pressed(name))
                return
            start += cell_len(words) + 3
