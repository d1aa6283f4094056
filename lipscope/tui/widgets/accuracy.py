"""Clean and certified accuracy at the radii of the literature, recomputed from the stored radii."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text
from textual.widgets import Static

from lipscope.tui.numerals import rate_text
from lipscope.tui.results import data_text, other_sides, standing_text
from lipscope.units import DEFAULT_EPS, format_eps, radius_text

if TYPE_CHECKING:
    from lipscope.records.certificates import Certificates


class Accuracy(Static):
    """A small table: radius, images certified, share of all images."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes="panel", markup=False)
        self.border_title = "certified accuracy"
        self._shown: tuple[Certificates | None, Fraction | None] = (None, None)

    def show(self, certificates: Certificates, chosen: Fraction | None = None, *, about: bool = True) -> None:
        """Show the counts.

        Args:
            certificates: of which images.
            chosen: a radius that gets a row of its own, or an arrow if it is one of the others.
            about: whether to say under the table which images and which kind of radii these are.
        """
        if certificates is self._shown[0] and chosen == self._shown[1]:
            return
        self._shown = (certificates, chosen)
        total = len(certificates)
        correct = int(certificates.correct.sum())
        sides = other_sides(certificates)
        table = Table.grid(padding=(0, 2 if not sides else 1, 0, 0))
        table.add_column(no_wrap=True)
        for _ in range(2 + len(sides)):
            table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True)
        claimed = certificates.standing == "claimed"
        headings = (
            "radius above",
            "claimed" if claimed else "images",
            "share",
            *(side.heading for side in sides),
            "",
        )
        table.add_row(*(Text(word, style="dim") for word in headings))
        table.add_row("clean", f"{correct:,}", rate_text(correct, total), *("" for _ in sides), "")
        radii = sorted({*DEFAULT_EPS, *([chosen] if chosen is not None else [])})
        for eps in radii:
            count = certificates.certified_count(eps)
            at = eps == chosen
            others = (side.text(eps, total) for side in sides)
            cells = (format_eps(eps), f"{count:,}", rate_text(count, total), *others, "◀" if at else "")
            style = "dim" if claimed else "bold" if at else ""
            table.add_row(*(Text(cell, style=style) for cell in cells))
        wrong = total - correct
        table.add_row(Text("wrong", style="dim"), f"{wrong:,}", rate_text(wrong, total))
        table.add_row(Text("average radius", style="dim"), radius_text(certificates.average_certified_radius()))
        words = [Text(side.words, style="dim") for side in sides] if about else []
        words += [Text(f"{data_text(certificates)}; {standing_text(certificates)}", style="dim")] if about else []
        # In a pane of its own height (without the words about it) other numbers move nothing.
        self.update(Group(table, *words), layout=about)
