"""The kernel of a layer as matrices: all taps side by side, or one after another where they would be too small."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content
from textual.widget import Widget

from lipscope.files.matrices import Kernel, extremes
from lipscope.tui.layers.heat import NEGATIVE, POSITIVE, SMALLEST_TILE, Tile, character, level, tile, together
from lipscope.tui.numerals import estimate_text, shape_text
from lipscope.tui.text import harmless

MOST = 9999
"""Entries a side of a block; what is printed of it has no more digits."""

READING = "Reading the kernel …"


class KernelMap(Widget):
    """Characters for entries; the same picture with and without colours."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._kernel: Kernel | None = None
        self._words = ""
        self._drawn: dict[tuple[int, Tile], tuple[str, ...]] = {}
        self.tap = 0

    def show(self, kernel: Kernel | None, words: str) -> None:
        """Show a kernel; words where there is none."""
        if kernel is not self._kernel or words != self._words:
            self._kernel, self._words = kernel, words
            self._drawn.clear()
            self.refresh()

    def turn(self) -> None:
        """Show the next tap; after the last one the first, or all together where they fit."""
        self.tap += 1
        self.refresh()

    def render(self) -> Content:
        """What it is, the matrices, and what the characters mean."""
        width, height = self.size
        kernel = self._kernel
        if kernel is None or kernel.taps is None or width < 1:
            return Content.styled(self._words, "$foreground 60%")
        # The drawing depends on the lines that are left, the words above it on the drawing: measured with the longest.
        below = _wrapped(_legend(kernel), width)
        above = _wrapped(self._about(kernel, Tile((MOST, MOST), 1), [0]), width)
        rows = height - len(above) - len(below)
        if rows < 1 or width < SMALLEST_TILE[1]:
            return Content(harmless(self._about(kernel, Tile((1, 1), 1), [])[0], max(width, 1)))
        drawing, numbers = self._chosen(kernel, rows, width)
        above = _wrapped(self._about(kernel, drawing, numbers), width)
        lines = [Content.styled(above[0], "bold"), *map(Content, above[1:])]
        lines += [_coloured(line) for line in self._lines(kernel, drawing, numbers)]
        lines += [Content.styled(line, "$foreground 60%") for line in below]
        return Content("\n").join(lines[:height])

    @staticmethod
    def _about(kernel: Kernel, drawing: Tile, numbers: list[int]) -> list[str]:
        """Phrases above the matrices."""
        taps = kernel.grid[0] * kernel.grid[1]
        phrases = [f"{harmless(kernel.tensor, 40, keep='end')} {shape_text(kernel.shape)}", "as stored"]
        if taps > 1 and len(numbers) == taps:
            phrases.append(f"{kernel.grid[0]} x {kernel.grid[1]} taps")
        elif taps > 1 and numbers:
            row, column = divmod(numbers[0], kernel.grid[1])
            phrases.append(f"tap {numbers[0] + 1} of {taps}, row {row + 1}, column {column + 1} (a: next)")
        down, across = (drawing.block[axis] * kernel.block[axis] for axis in (0, 1))
        each = "one entry" if down * across == 1 else f"largest of {down} x {across} entries"
        return [*phrases, "outputs down, inputs across", f"a character: {each}"]

    def _chosen(self, kernel: Kernel, rows: int, columns: int) -> tuple[Tile, list[int]]:
        """How each matrix is drawn, and which taps are."""
        assert kernel.taps is not None
        count, shape = len(kernel.taps), (kernel.taps.shape[1], kernel.taps.shape[2])
        all_of_them = together(shape, kernel.grid, rows, columns) if count > 1 else None
        place = self.tap % (count + 1 if all_of_them is not None else count)
        if all_of_them is not None and place == 0:
            return all_of_them, list(range(count))
        return tile(shape, rows, columns), [place - 1 if all_of_them is not None else place]

    def _lines(self, kernel: Kernel, drawing: Tile, numbers: list[int]) -> list[str]:
        blocks = [self._characters(kernel, number, drawing) for number in numbers]
        across = kernel.grid[1] if len(numbers) > 1 else 1
        lines: list[str] = []
        for first in range(0, len(blocks), across):
            if first:
                lines.append("┼".join(["─" * len(blocks[0][0])] * across))
            lines += ["│".join(parts) for parts in zip(*blocks[first : first + across], strict=True)]
        return lines

    def _characters(self, kernel: Kernel, number: int, drawing: Tile) -> tuple[str, ...]:
        """One tap, line by line; made once for a kernel and a size."""
        assert kernel.taps is not None
        if (number, drawing) not in self._drawn:
            matrix = extremes(kernel.taps[number : number + 1], drawing.block)[0]
            steps = level(matrix, kernel.scale).tolist()
            self._drawn[number, drawing] = tuple(
                "".join(character(step) * drawing.wide for step in row) for row in steps
            )
        return self._drawn[number, drawing]


def _legend(kernel: Kernel) -> list[str]:
    """Phrases below the matrices: what the characters mean."""
    phrases = [
        f"{POSITIVE} positive", f"{NEGATIVE} negative", "from 1/16, 1/8, 1/4, 1/2 of s", ". less", "blank 0",
        f"s = {estimate_text(kernel.scale)}, the largest |entry|",
    ]  # fmt: skip
    return [*phrases, f"? {kernel.unknown:,} not finite"] if kernel.unknown else phrases


def _wrapped(phrases: list[str], width: int) -> list[str]:
    """Whole phrases on lines of at most so many cells."""
    lines = [""]
    for phrase in phrases:
        text = harmless(phrase, width)
        joined = f"{lines[-1]}; {text}" if lines[-1] else text
        if cell_len(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(text)
    return lines


def _coloured(line: str) -> Content:
    """Colour that says the same as the characters."""
    content = Content(line)
    for characters, style in ((POSITIVE, "$primary"), (NEGATIVE, "$warning"), ("│─┼", "$foreground 35%")):
        start = None
        for place, letter in enumerate(line + "\n"):
            inside = letter in characters
            if inside and start is None:
                start = place
            elif not inside and start is not None:
                content = content.stylize(style, start, place)
                start = None
    return content


def words_for(kernel: Kernel | None, layer: str, on_disk: str) -> str:
    """What stands in the place of a kernel that is not drawn, with the next step; empty where it is drawn."""
    if kernel is None or kernel.layer != layer:
        return READING if on_disk == "same" else f"The file was {on_disk} while open: r reads it again."
    if kernel.error is not None:
        step = f" Next: {harmless(kernel.error.next_step, 200)}." if kernel.error.next_step else ""
        return f"No kernel: {harmless(kernel.error.what, 200)}.{step}"
    if kernel.taps is None:
        return "No kernel: the file stores no matrix under this name."
    return ""
