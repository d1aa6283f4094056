"""A list of any length with a cursor: only the lines in sight are ever made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style as RichStyle
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.style import Style
from textual.widget import Widget

Runs = Sequence[tuple[str, str]]
"""Pieces of a line, each with its style."""

Item = TypeVar("Item")

Line = Callable[[int, int], str | Runs]
"""The text of a line, from its place and the width that there is."""


class LongList(ScrollView, can_focus=True, inherit_bindings=False):
    """Lines under a heading that stays; the line of the cursor is marked."""

    @dataclass
    class _Told(Message):
        of: Widget
        place: int

        @property
        def control(self) -> Widget:
            """The list."""
            return self.of

    class Chosen(_Told):
        """Another line is under the cursor; -1 when there is none."""

    class Entered(_Told):
        """The line under the cursor was clicked again."""

    class HeadingPressed(_Told):
        """The heading was clicked; ``place`` is the column of cells."""

    count = 0
    place = -1  # the line under the cursor; -1 where there is none
    _line: Line = staticmethod(lambda place, width: "")
    _heading: Callable[[int], str | Runs] = staticmethod(lambda width: "")
    _styles: Mapping[str, RichStyle] = MappingProxyType({})

    @property
    def _width(self) -> int:
        return self.scrollable_content_region.width

    @property
    def page(self) -> int:
        """Lines in sight, but for one that stays when a page is turned."""
        return self.size.height - 2

    @property
    def heading_text(self) -> str:
        """The line that stays on top, without its styles."""
        heading = self._heading(self._width)
        return heading if isinstance(heading, str) else "".join(part for part, _ in heading)

    def under(self, items: Sequence[Item]) -> Item | None:
        """Of what is listed line by line, the one under the cursor; None where it is on none."""
        return items[self.place] if 0 <= self.place < len(items) else None

    def show(self, count: int, line: Line, heading: Callable[[int], str | Runs], *, place: int = 0) -> None:
        """Show other lines.

        ``line`` makes one, harmless and at most as wide as told.
        """
        self.count, self._line, self._heading = count, line, heading
        self.virtual_size = Size(self._width, count + 1)
        self.place = min(max(place, 0), count - 1)
        self.refresh()
        self._into_sight()
        self.post_message(self.Chosen(self, self.place))

    def choose(self, place: int) -> None:
        """Put the cursor on another line."""
        if place != self.place and 0 <= place < self.count:
            self.place = place
            self.refresh()
            self._into_sight()
            self.post_message(self.Chosen(self, place))

    def _into_sight(self) -> None:
        room = self.size.height - 1
        if room < 1 or self.place < 0:
            return
        top = self.scroll_offset.y
        if self.place < top:
            self.scroll_to(y=self.place, animate=False, immediate=True)
        elif self.place >= top + room:
            self.scroll_to(y=self.place - room + 1, animate=False, immediate=True)

    def on_resize(self, _event: events.Resize) -> None:
        """Keep the cursor in sight."""
        self.virtual_size = Size(self._width, self.count + 1)
        self._into_sight()

    def notify_style_update(self) -> None:
        """Another theme has other colours."""
        self._styles = {}
        super().notify_style_update()

    def on_click(self, event: events.Click) -> None:
        """Put the cursor there; on the line that has it, enter it."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        place = self.scroll_offset.y + offset.y - 1
        if offset.y == 0:
            self.post_message(self.HeadingPressed(self, offset.x))
        elif place == self.place:
            self.post_message(self.Entered(self, place))
        else:
            self.choose(place)

    def render_line(self, y: int) -> Strip:
        """One line in sight."""
        width = self._width
        style = self.rich_style
        if y == 0:
            return self._strip(self._heading(width), width, style + RichStyle(bold=True), RichStyle(underline=True))
        place = self.scroll_offset.y + y - 1
        if not 0 <= place < self.count:
            return Strip.blank(width, style)
        over = RichStyle()
        if place == self.place:
            colour = self._style("on $primary 50%" if self.has_focus else "on $foreground 15%")
            over = RichStyle(reverse=True, bold=self.has_focus) if self.app.no_color else colour
        strip = self._strip(self._line(place, width), width, style, over)
        name, *others = strip
        drawn = any("─" <= letter <= "▟" for one in others for letter in one.text)
        if place == self.place and self.app.no_color and drawn:  # what is drawn stays as it is
            upright = RichStyle(reverse=False)
            return Strip([name, *(Segment(one.text, (one.style or style) + upright) for one in others)])
        return strip

    def _style(self, text: str) -> RichStyle:
        if text not in self._styles:
            parsed = Style.parse(text, self.app.theme_variables)
            whole = (Style(background=self.background_colors[1]) + parsed).rich_style
            plain = RichStyle(bold=parsed.bold, dim=parsed.dim, reverse=parsed.reverse, underline=parsed.underline)
            color = None if parsed.foreground is None else whole.color
            behind = None if parsed.background is None else whole.bgcolor
            self._styles = {**self._styles, text: RichStyle.from_color(color, behind) + plain}
        return self._styles[text]

    def _strip(self, text: str | Runs, width: int, style: RichStyle, over: RichStyle) -> Strip:
        runs: Runs = [(text, "")] if isinstance(text, str) else text
        looks = {look: style if not look or over.reverse else style + self._style(look) for _, look in runs}
        segments = [Segment(part, looks[look] + over) for part, look in runs]
        used = sum(cell_len(part) for part, _ in runs)
        return Strip([*segments, Segment(" " * (width - used), style + over)]).crop(0, width)
