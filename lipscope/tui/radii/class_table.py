"""Radii class by class: which classes the model is sure of."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from rich.text import Text
from textual.widgets import DataTable

from lipscope.tui.numerals import rate_text
from lipscope.tui.radii.classes import WIDEST_CLASS, ClassRow, class_rows
from lipscope.units import radius_text

if TYPE_CHECKING:
    from lipscope.records.certificates import Certificates

HEADINGS = ("class", "images", "correct", "certified", "mean")
WIDTHS = (WIDEST_CLASS, 6, 7, 9, 6)
TITLE = "class by class; mean radius of correct images"
"""What the panel around the table must say: the last heading has no room for it."""


class ClassTable(DataTable[Text]):
    """One line a class."""

    def __init__(self) -> None:
        super().__init__(id="radii-classes", cursor_type="row", zebra_stripes=False, cell_padding=1)
        self.can_focus = False  # the arrow keys move eps; j and k move here all the same
        self._shown: list[ClassRow] = []

    @property
    def chosen(self) -> ClassRow | None:
        """The class under the cursor."""
        return self._shown[self.cursor_row] if 0 <= self.cursor_row < len(self._shown) else None

    def on_mount(self) -> None:
        """The headings."""
        for heading, width in zip(HEADINGS, WIDTHS, strict=True):
            justify: Literal["left", "right"] = "left" if heading == HEADINGS[0] else "right"
            self.add_column(Text(heading, justify=justify), width=width, key=heading)

    def show(self, certificates: Certificates, eps: Fraction) -> None:
        """Show the counts at another radius; only what differs is drawn anew."""
        rows = class_rows(certificates, eps)
        if [row.label for row in rows] != [row.label for row in self._shown]:
            self.clear()
            for row in rows:
                self.add_row(*_cells(row), key=str(row.label))
        else:
            for before, row in zip(self._shown, rows, strict=True):
                if before != row:
                    for heading, cell in zip(HEADINGS, _cells(row), strict=True):
                        self.update_cell(str(row.label), heading, cell)
        self._shown = rows


def _cells(row: ClassRow) -> list[Text]:
    texts = (
        f"{row.images:,}",
        rate_text(row.correct, row.images),
        rate_text(row.certified, row.images),
        "–" if row.mean_radius is None else radius_text(row.mean_radius),
    )
    return [Text(row.name, no_wrap=True), *(Text(text, justify="right") for text in texts)]
