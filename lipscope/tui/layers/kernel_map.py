"""The kernel of a layer as a picture: all taps together, or one after another where they would be too small."""

from __future__ import annotations

from textwrap import wrap

import numpy as np
from rich.segment import Segment, SegmentLines
from rich.style import Style
from textual.reactive import reactive
from textual.widget import Widget

from lipscope.files.matrices import Kernel, extremes
from lipscope.tui.images.half_blocks import LARGEST_SCALE, Pixels, pixel_line
from lipscope.tui.numerals import estimate_text, shape_text
from lipscope.tui.widgets.notice import error_sentence
from lipscope.visible import harmless

SMALLEST = (4, 8)
"""Rows and columns of cells; where all taps together would have less each, one is shown at a time."""

UNKNOWN = (255, 0, 0)
"""The colour of what is not finite."""

READING = "Reading the kernel …"


def block_for(shape: tuple[int, int], rows: int, columns: int) -> tuple[int, int]:
    """How many rows and columns of entries one pixel stands for, so that a matrix fits into cells of two pixels.

    >>> block_for((32, 32), 16, 32), block_for((100, 10), 10, 80)
    ((1, 1), (5, 1))
    """
    return -(-shape[0] // (2 * rows)), -(-shape[1] // columns)


def painted(kernel: Kernel, tap: int, rows: int, columns: int) -> Pixels:
    """One tap: grey for 0, brighter for positive and darker for negative entries, by the square root of their share.

    A pixel is the entry of largest magnitude of its block; a small matrix is drawn larger.
    """
    assert kernel.taps is not None
    values = extremes(kernel.taps[tap : tap + 1], block_for(kernel.taps.shape[1:], rows, columns))[0]
    times = min(max(min(2 * rows // values.shape[0], columns // values.shape[1]), 1), LARGEST_SCALE)
    known = np.nan_to_num(values.astype(np.float64)).repeat(times, 0).repeat(times, 1)
    light = np.sign(known) * np.sqrt(np.abs(known) / (kernel.scale or 1.0))
    pixels: Pixels = np.rint(127.5 + 127.5 * np.stack([light] * 3)).astype(np.uint8)
    pixels[:, np.isnan(values).repeat(times, 0).repeat(times, 1)] = np.array(UNKNOWN, np.uint8)[:, None]
    return pixels


class KernelMap(Widget):
    """Half blocks where there are colours, else dots."""

    tap: reactive[int] = reactive(0)
    """That is shown; after the last one the first again, or all together where they fit."""

    _kernel: Kernel | None = None
    _words = ""

    def show(self, kernel: Kernel | None, words: str) -> None:
        """Show a kernel; words where there is none."""
        if kernel is not self._kernel or words != self._words:
            self._kernel, self._words = kernel, words
            self.refresh()

    def render(self) -> SegmentLines:
        """What it is, the matrices, what their greys mean."""
        return SegmentLines(self._made(), new_lines=True)

    def _made(self) -> list[list[Segment]]:
        (width, height), kernel, style = self.size, self._kernel, self.rich_style
        if kernel is None or kernel.taps is None or width < 1:
            return [[Segment(line, style)] for line in wrap(self._words, max(width, 1))]
        greys = "bright: positive; grey: 0; dark: negative; by the square root of |entry| / s"
        red = f"; red: {kernel.unknown:,} not finite" if kernel.unknown else ""
        below = wrap(f"{greys}; s = {estimate_text(kernel.scale)}, the largest |entry|{red}", width)
        count = kernel.grid[0] * kernel.grid[1]
        # The drawing depends on the lines that are left, the words above it on the drawing: measured with the longest.
        rows = height - len(below) - len(wrap(_about(kernel, count - 1, (9999, 9999)), width))
        if rows < 1 or width < SMALLEST[1]:
            return [[Segment(line, style)] for line in wrap(_about(kernel, None, (1, 1)), max(width, 1))]
        each = (rows - kernel.grid[0] + 1) // kernel.grid[0], (width - kernel.grid[1] + 1) // kernel.grid[1]
        fits = count > 1 and each[0] >= SMALLEST[0] and each[1] >= SMALLEST[1]
        place = self.tap % (count + fits)
        together = fits and place == 0
        tap, room = (None, each) if together else (place - fits, (rows, width))
        tiles = [painted(kernel, one, *room) for one in (range(count) if together else [place - fits])]
        above = wrap(_about(kernel, tap, block_for(kernel.taps.shape[1:], *room)), width)
        lines = [[Segment(line, style + Style(bold=not number))] for number, line in enumerate(above)]
        across = kernel.grid[1] if together else 1
        for first in range(0, len(tiles), across):
            lines += [[]] if first else []
            for y in range(-(-tiles[0].shape[1] // 2)):
                beside = (
                    [*pixel_line(self.app, tile, y, style), Segment(" ", style)]
                    for tile in tiles[first : first + across]
                )
                lines.append([segment for cells in beside for segment in cells])
        return [*lines, *([Segment(line, style + Style(dim=True))] for line in below)]


def _about(kernel: Kernel, tap: int | None, block: tuple[int, int]) -> str:
    """What is said above the matrices; without a tap all stand together."""
    taps = kernel.grid[0] * kernel.grid[1]
    phrases = [f"{harmless(kernel.tensor, 40, keep='end')} {shape_text(kernel.shape)}", "as stored"]
    if taps > 1 and tap is None:
        phrases.append(f"{kernel.grid[0]} x {kernel.grid[1]} taps")
    elif taps > 1 and tap is not None:
        row, column = divmod(tap, kernel.grid[1])
        phrases.append(f"tap {tap + 1} of {taps}, row {row + 1}, column {column + 1} (a: next)")
    down, across = (block[axis] * kernel.block[axis] for axis in (0, 1))
    each = "one entry" if down * across == 1 else f"largest of {down} x {across} entries"
    return "; ".join([*phrases, "outputs down, inputs across", f"a square: {each}"])


def words_for(kernel: Kernel | None, layer: str, on_disk: str) -> str:
    """What stands in the place of a kernel that is not drawn, with the next step; empty where it is drawn."""
    if kernel is None or kernel.layer != layer:
        return READING if on_disk == "same" else f"The file was {on_disk} while open: r reads it again."
    if kernel.error is not None:
        return f"No kernel: {error_sentence(kernel.error)}"
    if kernel.taps is None:
        return "No kernel: the file stores no matrix under this name."
    return ""
