"""Certified accuracy at the radii of the literature, proved under what an attack could not break."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from textual import events
from textual.content import Content
from textual.widget import Widget

from lipscope.tui.results import unbroken
from lipscope.units import DEFAULT_EPS, radius_text
from lipscope.visible import counted, harmless

if TYPE_CHECKING:
    from lipscope.records.certificates import Certificates

CELLS = (7, 6)
"""Of a column, and of one where there is less room."""

TITLE = 13


class EpsTable(Widget):
    """One column a radius, 0 first; the chosen one is marked. A click on a column hands it to ``choose``."""

    _certificates: Certificates | None = None
    _chosen: Fraction | None = None
    _listed: Sequence[Fraction] = DEFAULT_EPS

    def __init__(self, choose: Callable[[Fraction], None], *, id: str, about: bool = False) -> None:  # noqa: A002
        super().__init__(id=id)
        self._choose, self._about = choose, about
        self.tooltip = (
            "Share of all images, in per cent. proved: right, with a certified radius above eps. "
            "attack ≤: of the attacked images, those that the attack did not break; the truth lies between."
        )

    def show(self, certificates: Certificates, chosen: Fraction, listed: Sequence[Fraction]) -> None:
        """Show the shares at some radii, those at one of them marked."""
        if certificates is not self._certificates or (chosen, listed) != (self._chosen, self._listed):
            self._certificates, self._chosen, self._listed = certificates, chosen, listed
            self.refresh()

    def radii(self, width: int) -> list[Fraction]:
        """The radii of the columns: as many as fit, those of the literature before others, always the chosen one."""
        chosen = self._chosen or DEFAULT_EPS[0]
        most = max((width - TITLE) // CELLS[1], 2)
        wanted = sorted({Fraction(0), *self._listed, chosen})
        while len(wanted) > most:
            others = (eps for eps in wanted if eps != chosen)
            wanted.remove(min(others, key=lambda eps: (eps in (0, *DEFAULT_EPS), -eps)))
        return wanted

    @property
    def _cell(self) -> int:
        wide, slim = CELLS
        return wide if len(self.radii(self.size.width)) * wide <= self.size.width - TITLE else slim

    def render(self) -> Content:
        """Heading and rows."""
        certificates = self._certificates
        if certificates is None:
            return Content("")
        radii = self.radii(self.size.width)
        total = len(certificates)
        heads = [f"{float(eps * 255):.4g}" for eps in radii]
        lines = [self._row("eps /255", heads, "$foreground 60%")]
        held = [unbroken(certificates, eps) for eps in radii]
        attacked = int(certificates.attacked.sum())
        claimed = certificates.standing == "claimed"
        if any(held):
            shares = [f"{100 * one[0] / max(one[1], 1):.2f}" for one in held if one is not None]
            lines.append(
                self._row(("? " if claimed else "~ ") + "attack ≤" + (" *" if attacked < total else ""), shares, "")
            )
        shares = [f"{100 * certificates.certified_count(eps) / total:.2f}" for eps in radii]
        style = "$text-warning" if claimed else "$text-success bold"
        lines.append(self._row("? claimed" if claimed else "● proved", shares, style))
        words = []
        if self._about:
            from lipscope.records.certificates import WORDS  # numpy, which the first paint does without

            mean, images = radius_text(certificates.average_certified_radius()), counted(total, "image")
            name = harmless(f"{certificates.data_name} {certificates.data_split}", 40)
            words = [f"average radius {mean}", f"{images} of {name}", WORDS[certificates.standing]]
        if 0 < attacked < total:  # of fewer images an upper bound may be less than what is proved of all
            words.append(f"* of {counted(attacked, 'attacked image')}, not all {total:,}")
        lines += [Content.styled(word, "$foreground 60%") for word in words]
        return Content("\n").join(lines)

    def _row(self, title: str, cells: list[str], style: str) -> Content:
        radii, width = self.radii(self.size.width), self._cell
        pieces: list[tuple[str, str]] = [(title.ljust(TITLE), "$foreground 60%")]
        for eps, cell in zip(radii, cells, strict=True):
            pieces.append((f"{cell:>{width - 1}} ", f"{style} reverse" if eps == self._chosen else style))
        return Content.assemble(*pieces)

    def on_click(self, event: events.Click) -> None:
        """Choose the radius of the column under the mouse."""
        radii, place = self.radii(self.size.width), (event.x - TITLE) // self._cell
        if self._certificates is not None and 0 <= place < len(radii):
            self._choose(radii[place])
