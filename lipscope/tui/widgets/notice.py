"""A sentence or a list of facts in a box."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text
from textual.widgets import Static

from lipscope.errors import LipscopeError
from lipscope.visible import harmless

Fact = tuple[str, str]
"""A label and its value, both harmless."""


def grid(facts: Iterable[Fact]) -> Table:
    """Facts as a grid: labels dim and unbroken, values folded where they are too long for the line."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for label, value in facts:
        table.add_row(Text(label), Text(value))
    return table


def error_facts(error: LipscopeError | None) -> list[Fact]:
    """What, where, why and what next; nothing without an error."""
    if error is None:
        return []
    parts = (("what", error.what), ("where", error.where), ("why", error.why), ("next step", error.next_step))
    return [(label, harmless(text, 400)) for label, text in parts if text]


def error_sentence(error: LipscopeError) -> str:
    """What, why and what next, in a line."""
    why = f" ({harmless(error.why, 200)})" if error.why else ""
    step = f" Next: {harmless(error.next_step, 300)}." if error.next_step else ""
    return f"{harmless(error.what, 200)}{why}.{step}"


class Notice(Static):
    """A titled box; invisible while there is nothing in it."""

    def __init__(self, title: str, *, id: str | None = None, classes: str = "panel") -> None:  # noqa: A002
        super().__init__(id=id, classes=classes, markup=False)
        self.border_title = title
        self.display = False
        self._said: str | list[Fact] = ""

    def show(self, said: str | list[Fact]) -> None:
        """Show something else, or nothing; the same costs nothing."""
        if said != self._said:
            self._said = said
            self.display = bool(said)
            self.update(said if isinstance(said, str) else grid(said))
