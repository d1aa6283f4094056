"""An image as it is, beside what an attack made of it and the difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
from rich.segment import Segment, SegmentLines
from rich.style import Style
from textual.widget import Widget

from lipscope.files.kept_images import Adversarial
from lipscope.tui.images.choice import class_name, distance_text
from lipscope.tui.images.half_blocks import Pixels, difference, fitting, pixel_line, resized
from lipscope.visible import harmless

GAP = 2
SMALLEST = (8, 4)
"""Cells; a picture with less is none."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture with its words."""

    caption: str  # above it
    pixels: Pixels  # of any size


def pictures_of(image: Pixels, found: Adversarial | None, classes: tuple[str, ...]) -> list[Picture]:
    """The image; with an adversarial one that, its class and distance, and the difference too."""
    shown = [Picture("image", image)]
    if found is not None and found.point.shape == image.shape:
        change, factor = difference(image, found.point)
        bytes_ = np.clip(np.rint(255 * found.point.astype(np.float64)), 0, 255).astype(np.uint8)
        whose = "claimed adversarial" if found.claimed else "adversarial"
        words = f"{whose}: {class_name(classes, found.predicted)} {distance_text(found.distance)}"
        shown += [Picture(words, bytes_), Picture(f"difference x{factor:.3g}, grey is none", change)]
    return shown


class Pictures(Widget):
    """As many pictures side by side as fit; colours where there are colours, else characters."""

    _pictures: Sequence[Picture] = ()
    _words = ""
    _first = 0

    def show(self, pictures: Sequence[Picture], words: str = "") -> None:
        """Show other pictures, or words where there is none."""
        self._pictures, self._words = pictures, words
        self._first = min(self._first, max(len(pictures) - 1, 0))
        self.refresh()

    def turn(self) -> bool:
        """Begin with the next picture: all are seen in turn where not all fit; False where there is no other."""
        self._first = (self._first + 1) % max(len(self._pictures), 1)
        self.refresh()
        return len(self._pictures) > 1

    def _fitting(self) -> tuple[int, int, int]:
        """How many pictures, and the height and width in pixels of each: as large as all can be, or the first few."""
        columns, rows = self.size.width, self.size.height - 1
        _, height, width = self._pictures[0].pixels.shape
        for number in range(len(self._pictures), 0, -1):
            room = (columns - GAP * (number - 1)) // number
            if number == 1 or room >= min(width, 2 * rows * width // height):
                tall, wide = fitting(height, width, max(room, 1), max(rows, 1))
                return number, tall, wide
        raise AssertionError("one picture always fits")

    def render(self) -> SegmentLines:
        """A line of captions, then the cells."""
        (columns, rows), style = self.size, self.rich_style
        if not self._pictures or columns < SMALLEST[0] or rows < SMALLEST[1]:
            words = wrap(self._words, max(columns, 1))
            return SegmentLines([[Segment(line, style)] for line in words], new_lines=True)
        number, tall, wide = self._fitting()
        lines: list[list[Segment]] = [[] for _ in range(1 + (tall + 1) // 2)]
        for picture in (*self._pictures, *self._pictures)[self._first : self._first + number]:
            caption = picture.caption if number == len(self._pictures) else f"{picture.caption} (v: next)"
            lines[0] += [Segment(harmless(caption, wide).ljust(wide + GAP), style + Style(bold=True))]
            pixels = resized(picture.pixels, tall, wide)
            for y, line in enumerate(lines[1:]):
                line.extend([*pixel_line(self.app, pixels, y, style), Segment(" " * GAP, style)])
        return SegmentLines(lines, new_lines=True)
