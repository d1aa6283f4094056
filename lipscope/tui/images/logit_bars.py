"""The logits of one image as bars."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from textual.content import Content

from lipscope.records.certificates import Certificates
from lipscope.tui.images.choice import class_name, logit_rows
from lipscope.tui.plots.bars import bar
from lipscope.visible import harmless

LEGEND = "P predicted R runner-up L label"
NUMBER = 8
LETTERS = 3
BARS_FROM = 34
"""Columns; in a narrower place there are numbers only."""


def logit_bars(
    logits: NDArray[np.float64], certificates: Certificates, row: int, look: str, classes: tuple[str, ...],
    width: int, height: int,
) -> Content:  # fmt: skip
    """Heading, one bar a class, the largest logit first, that of the prediction in its ``look``, and a legend."""
    low, high, top = float(logits.min()), float(logits.max()), int(logits.argmax())
    other = top != int(certificates.predicted[row])  # rounding at a tie, or results that another model made
    rows = logit_rows(logits, certificates, row, max(height - 2 - other, 1))
    more = f" {len(rows)} of {len(logits)}" if len(rows) < len(logits) else ""
    heading = f"logits{more} (float32, estimates)"
    if len(heading) > width:
        heading = f"logits{more} (estimates)"
    lines = [Content.styled(harmless(heading, width), "bold")]
    if other:
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
        bold, colour = "bold" if letters else "", look if "P" in letters else "$foreground 50%"
        drawn = (" ", (bar(share, cells), colour)) if cells else ()
        lines.append(Content.assemble((words if cells else words[:width], bold), *drawn))
    if height >= len(lines) + 1:
        more = f"; bars begin at {low:.4f}" if cells and width >= len(LEGEND) + 24 else ""
        lines.append(Content.styled((LEGEND + more)[:width], "$foreground 60%"))
    return Content("\n").join(lines[:height])
