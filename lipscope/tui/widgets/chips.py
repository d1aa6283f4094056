"""Choices side by side, the chosen one marked; a press on one chooses it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual.content import Content

Chip = tuple[str, str, bool]
"""An action of the screen in front, words, and whether it is chosen."""


def chips(choices: Sequence[Chip], width: int) -> Content:
    """In as many lines as they need, the chosen ones in reverse."""
    parts: list[str | tuple[str, str]] = []
    room = width
    for action, words, chosen in choices:
        taken = cell_len(words) + 3
        if parts and taken - 1 > room:
            parts[-1], room = "\n", width
        look = "bold reverse" if chosen else "$foreground 70% underline"
        parts += [(f" {words} ", f"{look} @click=app.front({action})"), " "]
        room -= taken
    return Content.assemble(*parts[:-1])
