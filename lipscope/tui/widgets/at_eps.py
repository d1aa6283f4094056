"""What the screens with a line of eps have in common: the radius is typed or moved, and shared by all of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from lipscope.tui.panes import Pane
from lipscope.tui.widgets.eps_line import EpsLine, moved
from lipscope.units import DEFAULT_EPS

if TYPE_CHECKING:
    from lipscope.records.certificates import Certificates


class EpsPane(Pane):
    """A screen whose :class:`EpsLine` chooses the radius."""

    NEED_RADII: ClassVar[frozenset[str]] = frozenset()
    """Actions beside those of eps that mean nothing without radii."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.eps: Fraction = DEFAULT_EPS[0]
        self.listed: Sequence[Fraction] = DEFAULT_EPS

    @property
    @abstractmethod
    def certificates(self) -> Certificates | None:
        """The radii that eps is held against."""

    def take_eps(self, eps: Fraction) -> None:
        """Another radius, chosen here or on another screen; the same one costs nothing."""
        if eps != self.eps:
            self.eps = eps
            self.show_eps()

    def take_list(self, radii: Sequence[Fraction]) -> None:
        """The radii that tables list, ascending."""
        if radii != self.listed:
            self.listed = radii
            self.show_eps()

    @abstractmethod
    def show_eps(self) -> None:
        """Show what holds at the radius chosen."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without radii there is no eps to move; while one is typed, keys are letters."""
        if action in {"move", "type_eps"} or action in self.NEED_RADII:
            return self.certificates is not None and not self.query_one(EpsLine).typing
        return True

    def action_move(self, steps: int) -> None:
        """Move eps by ``steps`` 255ths."""
        self.choose_eps(moved(self.eps, steps))

    def action_type_eps(self) -> None:
        """Type a radius."""
        self.query_one(EpsLine).open()

    def choose_eps(self, eps: Fraction, *, typed: bool = False) -> None:
        """Take a radius, and tell the other screens; one that was typed is listed from now on."""
        if typed:
            self.focus_main()  # the entry that had the focus is gone
        self.take_eps(eps)  # here at once: the next key moves on from it
        self.eps_moved(eps, typed=typed)

    def pick_eps(self, value: float) -> None:
        """Take the radius next to a number of a plot's axis."""
        self.choose_eps(moved(Fraction(round(value * 255), 255), 0))

    def step_back(self) -> bool:
        """Leave a typed radius; False where none is being typed."""
        line = self.query_one(EpsLine)
        if not line.typing:
            return False
        line.close()
        self.focus_main()
        return True
