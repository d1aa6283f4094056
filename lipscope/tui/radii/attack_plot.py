"""Radius <= true robustness <= attack distance, as a picture: a histogram of the gap, and a scatter of the two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from textual import events
from textual.app import ComposeResult
from textual.containers import Container, Vertical

from lipscope.tui.plots.blocks import Range
from lipscope.tui.radii.scatter import ScatterPlot
from lipscope.tui.widgets.histogram import Histogram, HistogramData

if TYPE_CHECKING:
    from lipscope.records.certificates import Certificates


class AttackPlot(Container):
    """What is proved against what an attack found, for every attacked image that it changed."""

    def __init__(self) -> None:
        super().__init__(id="radii-attack")
        self._certificates: Certificates | None = None
        self._log = False

    def compose(self) -> ComposeResult:
        """The gaps above, the pairs below."""
        with Vertical(id="radii-gap-panel", classes="panel"):
            yield Histogram(id="radii-gap")
        with Vertical(id="radii-scatter-panel", classes="panel"):
            yield ScatterPlot(id="radii-scatter")

    def show(self, certificates: Certificates, *, log: bool = False) -> None:
        """Show other results, which carry attack distances."""
        self._certificates, self._log = certificates, log
        distance = certificates.attack_distance
        if distance is None:
            return
        found = np.isfinite(distance)
        radius, nearest = certificates.radius[found], distance[found]
        gap = nearest - radius
        inside, attacked = int((gap < 0).sum()), int(certificates.attacked.sum())
        panel = self.query_one("#radii-gap-panel")
        panel.border_title = f"attack distance − radius of {len(gap):,} images"
        panel.border_subtitle = f"unbroken: {attacked - len(gap):,} of {attacked:,} attacked"
        low, high = float(gap.min(initial=0.0)), float(gap.max(initial=0.0))
        self.query_one(Histogram).show(
            HistogramData(
                values=gap,
                weights=np.ones(len(gap)),
                over=Range(min(low, 0.0), max(high, 1e-9)),
                mark=0.0,
                mark_label="0: as far as proved",
            ),
            log=log,
        )
        panel = self.query_one("#radii-scatter-panel")
        panel.border_title = "attack distance over radius"
        panel.border_subtitle = f"inside the radius: {inside:,}"
        panel.set_class(inside > 0, "-violated")
        plot = self.query_one(ScatterPlot)
        if plot.size.width:
            plot.show_pairs(radius, nearest, columns=plot.size.width, rows=plot.size.height)

    def on_resize(self, _event: events.Resize) -> None:
        """Thin the points out for the new size."""
        if self._certificates is not None:
            self.call_after_refresh(self.show, self._certificates, log=self._log)
