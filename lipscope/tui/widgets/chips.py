"""Choices side by side, the chosen one marked; a press on one chooses it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual.content import Content
from textual.widget import Widget

Chip = tuple[str, str, bool]
"""Name, words, and whether it is chosen."""


class Chips(Widget):
    """One line of words; as many as fit. A press is the action ``chip`` of the screen in front, with the name."""

    auto_links = False

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._chips: Sequence[Chip] = ()

    def show(self, chips: Sequence[Chip]) -> None:
        """Show other choices."""
        if chips != self._chips:
            self._chips = chips
            self.refresh()

    def render(self) -> Content:
        """The chosen ones in reverse; of those that do not fit, the ones in the middle go first."""
        kept = list(self._chips)
        while sum(cell_len(words) + 3 for _, words, _ in kept) - 1 > self.size.width:
            others = [chip for chip in kept[2:-1] if not chip[2]]
            if not others:
                break
            kept.remove(others[-1])
        looks = [("bold reverse" if chosen else "$foreground 70% underline") for _, _, chosen in kept]
        parts = [
            ((f" {words} ", f"{look} @click=app.front('chip', '{name}')"), " ")
            for (name, words, _), look in zip(kept, looks, strict=True)
        ]
        return Content.assemble(*(piece for part in parts for piece in part))
