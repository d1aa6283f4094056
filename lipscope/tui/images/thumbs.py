"""The images as a grid of thumbnails, the cursor on one of them."""

from __future__ import annotations

from collections.abc import Callable

from rich.segment import Segment, SegmentLines
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.widget import Widget

from lipscope.tui.images.half_blocks import Pixels, pixel_line, resized
from lipscope.tui.widgets.long_list import LongList
from lipscope.visible import harmless

WIDE, TALL = 16, 8
"""Cells of a picture; under it stands one line of words."""


class Thumbnails(Widget, can_focus=True):
    """As many pictures as fit, from the one of the cursor on."""

    BINDINGS = [  # noqa: RUF012 - Textual declares a class variable
        Binding("left,h", "step(-1)", "Left", show=False),
        Binding("right,l", "step(1)", "Right", show=False),
    ]

    count, place, _first = 0, -1, 0
    _pixels: Callable[[int], Pixels | None] = staticmethod(lambda place: None)
    _words: Callable[[int], str] = staticmethod(lambda place: "")

    def show(
        self, count: int, place: int, pixels: Callable[[int], Pixels | None], words: Callable[[int], str]
    ) -> None:  # fmt: skip
        """Show other images."""
        self.count, self.place, self._pixels, self._words = count, place, pixels, words
        self._into_sight()

    @property
    def across(self) -> int:
        """Pictures a row."""
        return max(self.size.width // (WIDE + 1), 1)

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
        self.choose(self._first + event.y // (TALL + 1) * self.across + min(event.x // (WIDE + 1), self.across - 1))

    def on_resize(self) -> None:
        """Another number fits."""
        self._into_sight()

    def _into_sight(self) -> None:
        rows = max(self.size.height // (TALL + 1), 1)
        row, first = max(self.place, 0) // self.across, self._first // self.across
        self._first = min(max(first, row - rows + 1), row) * self.across
        self.refresh()

    def render(self) -> SegmentLines:
        """The pictures in sight, each over its words."""
        style, lines = self.rich_style, list[list[Segment]]()
        end = min(self._first + self.across * -(-self.size.height // (TALL + 1)), self.count)
        for place in range(self._first, end):
            if (place - self._first) % self.across == 0:
                lines += [[] for _ in range(TALL + 1)]
            pixels = self._pixels(place)
            drawn = None if pixels is None else resized(pixels, 2 * TALL, WIDE)
            for y, line in enumerate(lines[-TALL - 1 : -1]):
                line.extend([Segment(" " * WIDE, style)] if drawn is None else pixel_line(self.app, drawn, y, style))
                line.append(Segment(" ", style))
            look = Style(reverse=True, bold=True) if place == self.place else Style()
            words = Segment(harmless(self._words(place), WIDE).ljust(WIDE), style + look)
            lines[-1] += [words, Segment(" ", style)]
        return SegmentLines(lines, new_lines=True)
