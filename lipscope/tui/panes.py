"""What the app asks of the pane of a screen, and the sheet of numbers that a pane hands out for export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol, runtime_checkable

from textual.message import Message

from lipscope.tui.work.state import State

Value = str | float | int | bool | None
"""What a cell of an export may hold."""


@dataclass(frozen=True)
class Sheet:
    """What a screen shows, as data.

    Args:
        columns: the names of the columns; a bound or an estimate is called so in its name.
        rows: as shown, in the order shown.
        facts: what does not fit into columns; goes into the JSON alone.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    facts: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Pane(Protocol):
    """The one thing that a pane must do."""

    def show(self, state: State) -> None:
        """Show another state; called often, so what has not changed should cost nothing."""


class Goto(Message):
    """The cause of what is selected lies on another screen; esc comes back from there.

    Args:
        screen: its id.
        to: what is looked for there.
    """

    def __init__(self, screen: str, to: object = None) -> None:
        super().__init__()
        self.screen, self.to = screen, to


@runtime_checkable
class Leading(Protocol):
    """A pane that others lead to."""

    def lead(self, to: object) -> None:
        """Show what is looked for."""


@runtime_checkable
class Focusing(Protocol):
    """A pane that knows where its keys work."""

    def focus_main(self) -> None:
        """Put the focus there."""


@runtime_checkable
class Stepping(Protocol):
    """A pane with layers of its own."""

    def step_back(self) -> bool:
        """Undo the innermost of them; False when there is none."""


@runtime_checkable
class AtEps(Protocol):
    """A pane that counts what is certified beyond a radius; all such panes share one."""

    def take_eps(self, eps: Fraction) -> None:
        """Another radius was chosen, here or on another screen; the same one costs nothing."""


@runtime_checkable
class Comparing(Protocol):
    """A pane that shows a second model beside the first."""

    def compare(self, other: State | None) -> None:
        """Called before :meth:`Pane.show`; None where only one file was opened."""


@runtime_checkable
class Exporting(Protocol):
    """A pane that can be exported as JSON and CSV; a picture needs nothing from it."""

    def sheet(self) -> Sheet:
        """What is shown, as data."""


@runtime_checkable
class Copying(Protocol):
    """A pane with something selected."""

    def copied(self) -> str:
        """The selected cell or row as text, tabs between cells; empty when nothing is selected."""


@runtime_checkable
class Selecting(Protocol):
    """A pane whose selected row has values with names."""

    def cells(self) -> list[tuple[str, str]]:
        """The values of the selected row by name, each as it is copied; empty when nothing is selected."""


def named(columns: Sequence[str], row: Sequence[Value]) -> list[tuple[str, str]]:
    """The values of a row of a sheet by the names of its columns, without those that are not known.

    >>> named(("a", "b", "c"), (1.5, None, "x"))
    [('a', '1.5'), ('c', 'x')]
    """
    return [(name, str(value)) for name, value in zip(columns, row, strict=True) if value is not None]
