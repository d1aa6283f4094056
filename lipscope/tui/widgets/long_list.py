"""A list of any length with a cursor: only the lines in sight are ever made."""

from __future__ import annotations

from collections.abc import Callable

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

Line = Callable[[int, int], str]
"""The text of a line, from its place and the width that there is."""


class LongList(ScrollView, can_focus=True, inherit_bindings=False):
    """Lines of plain text under a heading that stays; the cursor's line is shown in reverse.

    Args:
        id: of the widget.
    """

    BINDINGS = [  # noqa: RUF012 - Textual declares a class variable
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "end(-1)", "Top", show=False),
        Binding("end", "end(1)", "Bottom", show=False),
    ]

    class Chosen(Message):
        """Another line is under the cursor; -1 when there is none."""

        def __init__(self, of: LongList, place: int) -> None:
            super().__init__()
            self.of = of
            self.place = place

        @property
        def control(self) -> LongList:
            """The list."""
            return self.of

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._count = 0
        self._place = -1
        self._line: Line = lambda place, width: ""
        self._heading: Callable[[int], str] = lambda width: ""

    @property
    def _width(self) -> int:
        return self.scrollable_content_region.width

    @property
    def place(self) -> int:
        """The line under the cursor; -1 when there is none."""
        return self._place

    @property
    def count(self) -> int:
        """How many lines there are."""
        return self._count

    def show(self, count: int, line: Line, heading: Callable[[int], str], *, place: int = 0) -> None:
        """Show other lines.

        Args:
            count: how many.
            line: makes one, harmless and at most as wide as told.
            heading: makes the line that stays on top.
            place: of the cursor.
        """
        self._count, self._line, self._heading = count, line, heading
        self.virtual_size = Size(self._width, count + 1)
        self._place = min(max(place, 0), count - 1)
        self.refresh()
        self._into_sight()
        self.post_message(self.Chosen(self, self._place))

    def choose(self, place: int) -> None:
        """Put the cursor on another line."""
        if place != self._place and 0 <= place < self._count:
            self._place = place
            self.refresh()
            self._into_sight()
            self.post_message(self.Chosen(self, place))

    def _into_sight(self) -> None:
        room = self.size.height - 1
        if room < 1 or self._place < 0:
            return
        top = self.scroll_offset.y
        if self._place < top:
            self.scroll_to(y=self._place, animate=False, immediate=True)
        elif self._place >= top + room:
            self.scroll_to(y=self._place - room + 1, animate=False, immediate=True)

    def on_resize(self, _event: events.Resize) -> None:
        """Keep the cursor in sight."""
        self.virtual_size = Size(self._width, self._count + 1)
        self._into_sight()

    def action_page(self, pages: int) -> None:
        """A page up or down."""
        self.choose(min(max(self._place + pages * max(self.size.height - 2, 1), 0), self._count - 1))

    def action_end(self, which: int) -> None:
        """To the first line, or to the last."""
        self.choose(0 if which < 0 else self._count - 1)

    def on_click(self, event: events.Click) -> None:
        """Put the cursor there."""
        offset = event.get_content_offset(self)
        if offset is not None and offset.y > 0:
            self.choose(self.scroll_offset.y + offset.y - 1)

    def render_line(self, y: int) -> Strip:
        """One line in sight."""
        width = self._width
        style = self.rich_style
        if y == 0:
            return _strip(self._heading(width), width, style + Style(bold=True, underline=True))
        place = self.scroll_offset.y + y - 1
        if not 0 <= place < self._count:
            return Strip.blank(width, style)
        chosen = Style(reverse=True, bold=self.has_focus) if place == self._place else Style()
        return _strip(self._line(place, width), width, style + chosen)


def _strip(text: str, width: int, style: Style) -> Strip:
    padded = text + " " * (width - cell_len(text))
    return Strip([Segment(padded, style)]).crop(0, width)
