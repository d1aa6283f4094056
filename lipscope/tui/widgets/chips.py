"""Choices side by side, the chosen one marked; a press on one chooses it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual.content import Content

Chip = tuple[str, str, bool]
"""An action of the screen in front, words, and whether it is chosen."""


def chips(choices: Sequence[Chip], width: int) -> Content:
    """As many as fit into one line, the chosen ones in reverse; of the others those in the middle go first."""
    kept = list(choices)
    while sum(cell_len(words) + 3 for _, words, _ in kept) - 1 > width:
        others = [chip for chip in kept[2:-1] if not chip[2]]
        if not others:
            break
        kept.remove(others[-1])
    parts: list[str | tuple[str, str]] = []
    for action, words, chosen in kept:
        look = "bold reverse" if chosen else "$foreground 70% underline"
        parts += [(f" {words} ", f"{look} @click=app.front({action})"), " "]
    return Content.assemble(*parts)
