"""Radius <= true robustness <= attack distance, as a picture: a histogram of the gap, and a scatter of the two."""

from __future__ import annotations

import numpy as np
from textual.app import ComposeResult
from textual.containers import Container, Vertical

from lipscope.records.certificates import Certificates
from lipscope.tui.plots.bands import STYLES, WRONG
from lipscope.tui.plots.canvas import Floats
from lipscope.tui.plots.range import Range
from lipscope.tui.widgets.chart import Chart, Drawing, Series, bars
from lipscope.visible import counted


def found_pairs(certificates: Certificates) -> tuple[Floats, Floats]:
    """Radius and attack distance of the images that an attack changed."""
    assert certificates.attack_distance is not None
    found = np.isfinite(certificates.attack_distance)
    return certificates.radius[found], certificates.attack_distance[found]


def gap_drawing(certificates: Certificates, *, log: bool = False) -> Drawing:
    """The histogram of attack distance − radius; what lies left of 0 is inside the radius."""
    radius, nearest = found_pairs(certificates)
    gap = nearest - radius
    over = Range(float(gap.min(initial=0.0)), max(float(gap.max(initial=0.0)), 1e-9))
    return bars(gap, np.ones(len(gap)), over, 0.0, log=log, below=STYLES[WRONG], foot="0: at the radius")


class AttackPlot(Container):
    """What is proved against what an attack found, for every attacked image that it changed."""

    def compose(self) -> ComposeResult:
        """The gaps above, the pairs below."""
        with Vertical(id="radii-gap-panel", classes="panel"):
            yield Chart(id="radii-gap")
        with Vertical(id="radii-scatter-panel", classes="panel"):
            yield Chart(id="radii-scatter")

    def show(self, certificates: Certificates, *, log: bool = False) -> None:
        """Show other results, which carry attack distances."""
        radius, nearest = found_pairs(certificates)
        inside, attacked = int((nearest < radius).sum()), int(certificates.attacked.sum())
        panel = self.query_one("#radii-gap-panel")
        panel.border_title = f"attack distance − radius of {counted(len(radius), 'image')}"
        panel.border_subtitle = f"unbroken: {attacked - len(radius):,} of {attacked:,} attacked"
        self.query_one("#radii-gap", Chart).show(gap_drawing(certificates, log=log))
        panel = self.query_one("#radii-scatter-panel")
        panel.border_title = "attack distance over radius"
        panel.border_subtitle = f"inside the radius: {inside:,}"
        panel.set_class(inside > 0, "-violated")
        across, up = (Range(0.0, float(values.max(initial=0.0)) or 1.0) for values in (radius, nearest))
        ends = np.array([0.0, min(across.high, up.high)])
        self.query_one("#radii-scatter", Chart).show(
            Drawing(across, [Series("equal", ends, ends, "$text-error", gap=2),
                             Series("attacked", radius, nearest, "$foreground", apart=True)], up)
        )  # fmt: skip
