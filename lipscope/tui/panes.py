"""What the app asks of the pane of a screen, and the sheet of numbers that a pane hands out for export."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

from textual.containers import Container
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from lipscope.tui.keys.motion import focus
from lipscope.tui.widgets.entry import Entry
from lipscope.tui.widgets.fold import FoldBar
from lipscope.tui.work.state import State

if TYPE_CHECKING:
    from lipscope.tui.work.session import Session

Value = str | float | int | bool | None
"""What a cell of an export may hold."""

Cells = Mapping[str, Value]
"""One row by the names of its columns; a bound or an estimate is called so in its name."""


@dataclass(frozen=True)
class Sheet:
    """What a screen shows, as data."""

    rows: Sequence[Cells] = ()  # as shown, in the order shown; all have the same columns
    facts: Mapping[str, Any] = field(default_factory=dict)  # what does not fit into columns; goes into the JSON alone

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.rows[0]) if self.rows else ()


@dataclass
class Goto(Message):
    """The cause of what is selected lies on another screen; esc comes back from there."""

    screen: str  # its id
    to: object = None  # what is looked for there


@dataclass
class Wanted(Message):
    """A screen needs more of the file: images, what the model says of one, a kernel."""

    ask: Callable[[Session], None]


class Pane(Container, can_focus=True):
    """What the app asks of a screen; only :meth:`show` must be there, the rest does nothing unless it is wanted.

    ``eps_moved`` tells the app of a radius chosen here, which the other screens follow, and whether tables list it from
    now on; None changes nothing in their list.
    """

    MOVING: ClassVar[str] = ""
    """The selector of what the keys that move up and down move in while the pane itself has the focus."""

    other: State | None = None
    """Of the second model; None where only one file was opened."""

    def __init__(self, state: State, *, id: str, eps_moved: Callable[[Pane, Fraction, bool | None], None]) -> None:  # noqa: A002
        super().__init__(id=id)
        self.state = state
        self.eps_moved = eps_moved

    @abstractmethod
    def show(self, state: State) -> None:
        """Show another state; called often, so what has not changed should cost nothing."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While something is typed here, keys are letters."""
        return not isinstance(self.screen.focused, Input)

    def lead(self, to: object) -> None:
        """Show what another screen leads to."""

    def take_eps(self, eps: Fraction, listed: Sequence[Fraction]) -> None:
        """The radius that was chosen, here or on another screen, and those that tables list."""

    def focus_main(self) -> None:
        """Put the focus where the keys of this screen work."""
        focus(self)

    def moving(self) -> Widget | None:
        """What the keys that move up and down move in while the pane itself has the focus."""
        return self.query_one(self.MOVING) if self.MOVING else None

    def step_back(self) -> bool:
        """Undo the innermost of what was opened or chosen here, an entry above all; False when there is none."""
        if opened := [entry for entry in self.query(Entry) if entry.display]:
            opened[0].close()
            self.focus_main()
        return bool(opened)

    def sheet(self) -> Sheet:
        """What is shown, as data."""
        return Sheet()

    def cells(self) -> Cells:
        """The selected row; empty when nothing is selected."""
        return {}

    def copied(self) -> str:
        """The selected row as text, tabs between the cells that are known; empty when nothing is selected."""
        return "\t".join(str(value) for value in self.cells().values() if value is not None)

    def say_folded(self, **summaries: str) -> None:
        """What is in the panes on the ``left`` and on the ``right``, in a few words for the line of a folded one."""
        for bar in self.query(FoldBar):
            bar.summary = summaries.get(bar.side, bar.summary)


def of(thing: object, name: str) -> Any:
    """A field of what may not be known; None where it is not."""
    return None if thing is None else getattr(thing, name)


def same(now: Iterable[object], before: Iterable[object]) -> bool:
    """Whether all are the very objects that they were: arrays are not looked into."""
    return all(one is other for one, other in zip(now, before, strict=True))


def next_of(values: list[Any], value: Any, step: int = 1) -> Any:
    """The value after another in a cycle; the first where that one is not in it.

    >>> next_of(["a", "b"], "b"), next_of([None, 0, 1], None, -1), next_of(["a"], "z")
    ('a', 1, 'a')
    """
    return values[(values.index(value) + step) % len(values)] if value in values else values[0]
