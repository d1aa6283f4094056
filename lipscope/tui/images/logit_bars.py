"""The logits of one image as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from textual.content import Content
from textual.widget import Widget

from lipscope.tui.images.choice import class_name, logit_rows
from lipscope.tui.plots.bars import bar
from lipscope.tui.text import harmless

if TYPE_CHECKING:
    from lipscope.records.certificates import Certificates

LEGEND = "P predicted  R runner-up  L label"
SHORT_LEGEND = "P predicted R next L label"
NUMBER = 8
LETTERS = 3
BARS_FROM = 34
"""Columns; in a narrower place there are numbers only."""


class LogitBars(Widget):
    """One line a class, the largest logit first; letters say which class is which."""

    def __init__(self) -> None:
        super().__init__(id="logit-bars")
        self._lines: tuple[NDArray[np.float64], Certificates, int, tuple[str, ...]] | None = None
        self._words = ""

    def show(self, logits: NDArray[np.float64], certificates: Certificates, row: int, classes: tuple[str, ...]) -> None:
        """Show the logits of the image in a row."""
        self._lines, self._words = (logits, certificates, row, classes), ""
        self.refresh()

    def say(self, words: str) -> None:
        """Show words instead."""
        self._lines, self._words = None, words
        self.refresh()

    def render(self) -> Content:
        """Heading, bars, legend."""
        width, height = self.size
        if self._lines is None:
            return Content.styled(self._words, "$foreground 60%")
        logits, certificates, row, classes = self._lines
        low, high = float(logits.min()), float(logits.max())
        most = max(height - 2 - (int(logits.argmax()) != int(certificates.predicted[row])), 1)
        rows = logit_rows(logits, certificates, row, most)
        more = f" {len(rows)} of {len(logits)}" if len(rows) < len(logits) else ""
        heading = f"logits{more} (float32, estimates)"
        if len(heading) > width:
            heading = f"logits{more} (estimates)"
        lines = [Content.styled(harmless(heading, width), "bold")]
        top = int(logits.argmax())
        if top != int(certificates.predicted[row]):  # rounding at a tie, or results that another model made
            words = f"! the largest is {class_name(classes, top)}, the results say otherwise"
            lines.append(Content.styled(harmless(words, width), "bold"))
        with_bars = width >= BARS_FROM
        taken = LETTERS + NUMBER + (1 if not with_bars else 2)
        longest = max(cell_len(class_name(classes, number)) for number, _, _ in rows)
        name = max(min(longest, (width - taken) // (2 if with_bars else 1)), 1)
        cells = max(width - taken - name, 0) if with_bars else 0
        for number, value, letters in rows:
            label = class_name(classes, number, name)
            share = (value - low) / (high - low) if high > low else 1.0
            words = f"{letters:{LETTERS}s}{label}{' ' * (name - cell_len(label))} {value:{NUMBER}.4f}"
            lines.append(
                Content.assemble(
                    (words, "bold" if letters else ""),
                    " ",
                    (bar(share, cells), "$success" if "L" in letters else "$foreground 50%"),
                )
                if cells
                else Content.styled(words[:width], "bold" if letters else "")
            )
        if height >= len(lines) + 1:
            legend = LEGEND if width >= len(LEGEND) else SHORT_LEGEND
            if cells and width >= len(LEGEND) + 24:
                legend += f"; bars begin at {low:.4f}"
            lines.append(Content.styled(legend[:width], "$foreground 60%"))
        return Content("\n").join(lines[:height])
