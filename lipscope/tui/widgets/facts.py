"""Labels and values in two columns; long values wrap."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text
from textual.widgets import Static

from lipscope.tui.text import Fact


def grid(facts: Iterable[Fact]) -> Table:
    """Facts as a grid: labels dim and unbroken, values folded where they are too long for the line."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for label, value in facts:
        table.add_row(Text(label), Text(value))
    return table


class Facts(Static):
    """A titled list of facts."""

    def __init__(self, title: str, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes="panel", markup=False)
        self.border_title = title
        self._facts: list[Fact] | None = None

    def show(self, facts: list[Fact]) -> None:
        """Show other facts; the same ones cost nothing."""
        if facts != self._facts:
            self._facts = facts
            self.update(grid(facts))
