"""The images as a grid of thumbnails, the cursor on one of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from lipscope.tui.images.half_blocks import Pixels, pixel_line, resized
from lipscope.tui.widgets.long_list import LongList
from lipscope.visible import harmless

WIDE, TALL = 16, 8
"""Cells of a picture; under it stands one line of words."""


class Thumbnails(ScrollView, can_focus=True, inherit_bindings=False):
    """As many pictures as fit; only those in sight are ever made."""

    BINDINGS = [  # noqa: RUF012 - Textual declares a class variable
        Binding("left,h", "step(-1)", "Left", show=False),
        Binding("right,l", "step(1)", "Right", show=False),
    ]

    count, place = 0, -1
    _pixels: Callable[[int], Pixels | None] = staticmethod(lambda place: None)
    _words: Callable[[int], str] = staticmethod(lambda place: "")

    def show(
        self, count: int, place: int, pixels: Callable[[int], Pixels | None], words: Callable[[int], str]
    ) -> None:  # fmt: skip
        """Show other images; what was scrolled stays so until the cursor moves."""
        moved = (count, place) != (self.count, self.place)
        self.count, self.place, self._words = count, place, words
        self._pixels = lru_cache(maxsize=256)(
            lambda place: None if (found := pixels(place)) is None else resized(found, 2 * TALL, WIDE)
        )  # fmt: skip
        self.refresh()
        if moved:
            self.on_resize()

    @property
    def across(self) -> int:
        """Pictures a row."""
        return max(self.scrollable_content_region.width // (WIDE + 1), 1)

    @property
    def page(self) -> int:
        """Pictures in sight."""
        return self.across * max(self.size.height // (TALL + 1), 1)

    def choose(self, place: int) -> None:
        """Put the cursor on another image; the list beside follows."""
        self.post_message(LongList.Chosen(self, min(max(place, 0), self.count - 1)))

    def action_step(self, steps: int) -> None:
        """One to the side."""
        self.choose(self.place + steps)

    def on_click(self, event: events.Click) -> None:
        """Put the cursor there."""
        if (offset := event.get_content_offset(self)) is not None:
            row, column = (self.scroll_offset.y + offset.y) // (TALL + 1), offset.x // (WIDE + 1)
            self.choose(row * self.across + min(column, self.across - 1))

    def on_resize(self) -> None:
        """Another number fits, and the cursor stays in sight."""
        self.virtual_size = Size(self.scrollable_content_region.width, -(-self.count // self.across) * (TALL + 1))
        row, top = max(self.place, 0) // self.across, self.scroll_offset.y
        last = (row - self.page // self.across + 1) * (TALL + 1)
        self.scroll_to(y=min(max(top, last), row * (TALL + 1)), animate=False, immediate=True)

    def render_line(self, y: int) -> Strip:
        """One line in sight: of pictures, or of the words under them."""
        row, line = divmod(self.scroll_offset.y + y, TALL + 1)
        style, segments = self.rich_style, list[Segment]()
        for place in range(row * self.across, min((row + 1) * self.across, self.count)):
            if line == TALL:
                look = Style(reverse=True, bold=True) if place == self.place else Style()
                segments.append(Segment(harmless(self._words(place), WIDE).ljust(WIDE), style + look))
            elif (pixels := self._pixels(place)) is None:
                segments.append(Segment(" " * WIDE, style))
            else:
                segments += pixel_line(self.app, pixels, line, style)
            segments.append(Segment(" ", style))
        return Strip(segments).adjust_cell_length(self.size.width, style)
