"""What the screens with a line of eps have in common: the radius is typed or moved, and shared by all of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from lipscope.tui.panes import Pane
from lipscope.tui.widgets.entry import Entry
from lipscope.tui.widgets.eps_line import moved
from lipscope.units import DEFAULT_EPS, format_eps

if TYPE_CHECKING:
    from lipscope.records.certificates import Certificates


class EpsPane(Pane):
    """A screen whose line of eps chooses the radius."""

    NEED_RADII: ClassVar[frozenset[str]] = frozenset()
    """Actions beside those of eps that mean nothing without radii."""

    eps: Fraction = DEFAULT_EPS[0]
    listed: Sequence[Fraction] = DEFAULT_EPS

    @property
    def certificates(self) -> Certificates | None:
        """The radii that eps is held against."""
        return self.state.results.certificates

    def take_eps(self, eps: Fraction, listed: Sequence[Fraction]) -> None:
        """Another radius, chosen here or on another screen, and those that tables list; the same ones cost nothing."""
        if (eps, listed) != (self.eps, self.listed):
            self.eps, self.listed = eps, listed
            self.show_eps()

    @abstractmethod
    def show_eps(self) -> None:
        """Show what holds at the radius chosen."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without radii there is no eps to move."""
        needs_radii = action in {"move", "type_eps", "unlist_eps", *self.NEED_RADII}
        return super().check_action(action, parameters) and not (needs_radii and self.certificates is None)

    def action_move(self, steps: int) -> None:
        """Move eps by ``steps`` 255ths."""
        self.choose_eps(moved(self.eps, steps))

    def action_type_eps(self) -> None:
        """Type a radius."""
        self.query_one("#eps-entry", Entry).open()

    def action_unlist_eps(self) -> None:
        """Take the radius chosen off the list, where it was typed; those of the literature stay."""
        if self.eps in DEFAULT_EPS or self.eps not in self.listed:
            self.notify(
                f"{format_eps(self.eps)} is not one that was typed: = lists a radius, - takes it off", timeout=5
            )
        else:
            self.eps_moved(self, self.eps, False)

    def choose_eps(self, eps: Fraction, *, typed: bool = False) -> None:
        """Take a radius, and tell the other screens; one that was typed is listed from now on."""
        if typed:
            self.focus_main()  # the entry that had the focus is gone
        self.eps_moved(self, eps, typed or None)  # not by a message: the next key moves on from it

    def pick_eps(self, value: float) -> None:
        """Take the radius next to a number of a plot's axis."""
        self.choose_eps(moved(Fraction(round(value * 255), 255), 0))
