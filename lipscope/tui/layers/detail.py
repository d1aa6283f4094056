"""All that is known of one layer: in words, its singular values as a histogram and a curve, its kernel."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Container, Vertical, VerticalScroll
from textual.widgets import Static

from lipscope.files.matrices import Kernel
from lipscope.records import NEAR_ONE, Estimate, LayerReport, Spectrum
from lipscope.tui.layers.kernel_map import KernelMap, words_for
from lipscope.tui.layers.rows import Row
from lipscope.tui.layers.spectra import angle_bars, sorted_drawing, spectrum_bars
from lipscope.tui.numerals import bound_text, estimate_text, rounded, shape_text
from lipscope.tui.widgets.chart import Chart, Drawing
from lipscope.tui.widgets.notice import Fact, grid
from lipscope.visible import counted, harmless

TITLE = 32
"""Cells of a name in the border; a longer one is listed below it as well."""


VIEWS = {"spectrum": "histogram", "curve": "sorted curve", "kernel": "kernel"}
"""Ways to look at a layer, with the words."""

BESIDE = 84
"""Columns for a histogram and a curve side by side."""

BELOW = 22
"""Lines for one above the other."""


class Plots(Container):
    """What is drawn of a layer; knows when there is room for two drawings, and says so to ``arranged``."""

    def __init__(self, arranged: Callable[[], None]) -> None:
        super().__init__(id="detail-plots")
        self._arranged = arranged

    def on_resize(self, event: events.Resize) -> None:
        """Histogram and curve side by side, one above the other, or one of them."""
        beside = event.size.width >= BESIDE
        self.set_class(beside, "-beside")
        self.set_class(not beside and event.size.height >= BELOW, "-below")
        self._arranged()


class LayerDetail(Vertical):
    """The pane of the selected layer."""

    log_axis = False
    angle = 0
    view = "spectrum"
    _row: Row | None = None
    kernel: Kernel | None = None  # that was read last
    on_disk = "same"  # what has become of the file

    def compose(self) -> ComposeResult:
        """Facts that scroll, and what is drawn."""
        with Plots(self._say_view):
            yield Chart(id="spectrum")
            yield Chart(id="spectrum-curve")
            yield KernelMap(id="kernel")
            yield Static("No singular values are known of this layer.", id="no-curve", markup=False)
        with VerticalScroll(id="detail-text"):
            yield Static(id="detail-facts", markup=False)

    def show(self, row: Row | None) -> None:
        """Show another layer, or more of the same one."""
        same = row is not None and self._row is not None and row.key == self._row.key
        self._row = row
        # A Text, because a str would be read as markup.
        self.border_title = Text(harmless(row.key, TITLE, keep="end") or "(no name)" if row else "no layer")
        facts = detail_facts(row) if row else [("", "no layer to show")]
        self.query_one("#detail-facts", Static).update(grid(facts))
        if not same:
            self.query_one("#detail-text", VerticalScroll).scroll_home(animate=False)
            self.query_one(KernelMap).tap = 0
        self.redraw()

    def next_view(self) -> None:
        """Look at the layer in the next way."""
        names = list(VIEWS)
        step = 2 if self.view == "spectrum" and self._both else 1
        self.view = names[(names.index(self.view) + step) % len(names)]
        for name in names:
            self.set_class(name == self.view, f"-view-{name}")
        self.redraw()

    @property
    def _both(self) -> bool:
        """Whether there is room for histogram and curve, and something to draw in them."""
        plots = self.query_one(Plots)
        return self.has_class("-with-curve") and (plots.has_class("-beside") or plots.has_class("-below"))

    def turn(self) -> None:
        """The next of an activation's angles, or of a kernel's taps."""
        if self.view == "kernel":
            self.query_one(KernelMap).tap += 1
        else:
            self.angle += 1
            self.redraw()

    def redraw(self) -> None:
        """Draw what the view shows."""
        report = self._row.report if self._row else None
        spectrum = report.spectrum if report is not None and not report.angles else None
        drawing = self._histogram(report)
        self.query_one("#spectrum", Chart).show(drawing)
        known = drawing is not None and spectrum is not None
        self.query_one("#spectrum-curve", Chart).show(sorted_drawing(spectrum) if known and spectrum else None)
        self.set_class(known, "-with-curve")
        if self.view == "kernel" and self._row is not None:
            words = words_for(self.kernel, self._row.key, self.on_disk)
            self.query_one(KernelMap).show(self.kernel if not words else None, words)
        self.set_class(drawing is not None or self.view != "spectrum", "-with-spectrum")
        self._say_view()

    def _histogram(self, report: LayerReport | None) -> Drawing | None:
        if report is not None and report.angles:
            names = list(report.angles)
            name = names[self.angle % len(names)]
            place = f" ({self.angle % len(names) + 1} of {len(names)}, a: next)" if len(names) > 1 else ""
            return angle_bars(harmless(name, 20), report.angles[name], place, log=self.log_axis)
        return None if report is None or report.spectrum is None else spectrum_bars(report.spectrum, log=self.log_axis)

    def _say_view(self) -> None:
        both = self._both and self.view != "kernel"
        self.border_subtitle = f"{'histogram and sorted curve' if both else VIEWS[self.view]}, v: next"


def detail_facts(row: Row) -> list[Fact]:
    """One layer in words."""
    long = len(row.key) > TITLE
    facts: list[Fact] = [("name", harmless(row.key))] if long else []
    facts.append(("kind", harmless(row.kind)))
    report = row.report
    if report is None:
        told = "not analysed yet" if row.active else "not analysed"
        return [*facts, ("known", f"{told}; the header lists these tensors")]
    shapes = [harmless(shape_text(shape), 40) for shape in (report.input_shape, report.output_shape)]
    known = report.input_shape is not None or report.output_shape is not None
    facts.append(("shapes", " → ".join(shapes) if known else "unknown: the file does not tell the size of the input"))
    facts.append(("bound", _bound(report)))
    missing = "not computed yet" if row.active else "not computed"
    facts.append(("σ max", _estimate(report.sigma_max) or missing))
    facts.append(("σ min", _estimate(report.sigma_min) or missing))
    if report.spectrum is not None:
        facts.append(("spectrum", _spectrum(report.spectrum)))
        facts += _whole_spectrum(report.spectrum)
        facts.append(("σ lost", lost_values(report.spectrum)))
    facts.append(("gradient", _gradient(report) or missing))
    lost = _lost_directions(report)
    if lost:
        facts.append(("lost", lost))
    facts += [(name[:8], angle_text(values)) for name, values in report.angles.items()]
    return facts + [("note", harmless(note, 400)) for note in report.notes]


def _bound(report: LayerReport) -> str:
    bound = report.bound
    value = bound_text(bound)
    if value == "not proved":
        reason = bound.reason or (
            f"the computed value is {estimate_text(bound.value)}"
            if not math.isfinite(bound.value)
            else "no reason given"
        )
        return f"not proved: {harmless(reason, 400)}"
    precision = f", {harmless(bound.arithmetic, 60)}" if bound.precision else ""
    return f"{value}, proved by {harmless(bound.method, 200)}{precision}"


def _estimate(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    details = [f"estimate by {harmless(estimate.method, 80)}"]
    if estimate.iterations is not None:
        details.append(counted(estimate.iterations, "round"))
    if estimate.residual is not None:
        details.append(f"residual {estimate.residual:.1e}")
    return f"{estimate_text(estimate.value)}, {', '.join(details)}"


def _spectrum(spectrum: Spectrum) -> str:
    whole = "all" if spectrum.complete else "the distribution of"
    share = "–" if spectrum.at_one is None else f"{100 * spectrum.at_one:.1f}%"
    accuracy = f", to {spectrum.accuracy:.1e}" if spectrum.accuracy is not None else ""
    return (
        f"{whole} {spectrum.size:,} singular values, estimate by {harmless(spectrum.method, 100)}{accuracy}; "
        f"{share} within {NEAR_ONE} of 1"
    )


def _whole_spectrum(spectrum: Spectrum) -> list[Fact]:
    """What the values say together, and what is proved of them all."""
    facts: list[Fact] = []
    if spectrum.proved_range is not None:
        low, high = (rounded(value, up=up) for value, up in zip(spectrum.proved_range, (False, True), strict=True))
        facts.append(("σ proved", f"every singular value is proved to be ≥ {low} and ≤ {high}"))
    if sum(spectrum.weights) > 0 and all(map(math.isfinite, spectrum.values)):
        text = f"stable rank {estimate_text(spectrum.stable_rank)} of {spectrum.size:,}"
        if not spectrum.orthogonal:
            text += f", condition number {estimate_text(spectrum.condition_number)}"
        facts.append(("rank", f"{text}; estimate"))
    return facts


def _gradient(report: LayerReport) -> str:
    norms = report.gradient_norm
    if norms is None:
        return ""
    return (
        f"norm kept to mean {norms.mean:.4f}, min {norms.minimum:.4f}, max {norms.maximum:.4f}, "
        f"5–95% {norms.p05:.4f}–{norms.p95:.4f}; estimate on {harmless(norms.images, 80)}, "
        f"{harmless(norms.gradients, 20)} gradients"
    )


def _lost_directions(report: LayerReport) -> str:
    if not report.input_shape or not report.output_shape:
        return ""
    inputs, outputs = math.prod(report.input_shape), math.prod(report.output_shape)
    if outputs >= inputs:
        return ""
    return (
        f"{outputs:,} outputs for {inputs:,} inputs: at least {inputs - outputs:,} input directions map to 0 "
        f"by shape alone; the singular values are the {outputs:,} of the output side"
    )


def lost_values(spectrum: Spectrum) -> str:
    """How many singular values lie below 1: the directions in which gradient is lost.

    >>> lost_values(Spectrum((1.0, 0.5), (3.0, 1.0), 4, "by hand", True))
    'about 1 of 4 (25.0%) below 0.999, down to 0.5000000; estimate'
    """
    total = sum(spectrum.weights)
    lost = sum(w for s, w in zip(spectrum.values, spectrum.weights, strict=True) if s < 1 - NEAR_ONE)
    if total <= 0:
        return "not measured"
    if unknown := sum(not math.isfinite(s) for s in spectrum.values):
        return f"not known: {unknown:,} of the measured values are not finite"
    if lost == 0:
        return f"none: no singular value below {1 - NEAR_ONE}; estimate"
    return (
        f"about {round(lost / total * spectrum.size):,} of {spectrum.size:,} ({100 * lost / total:.1f}%) below "
        f"{1 - NEAR_ONE}, down to {estimate_text(min(spectrum.values))}; estimate"
    )


def angle_text(values: Sequence[float]) -> str:
    """Learned angles in degrees; 90 for all sorts each pair, as MaxMin does.

    >>> angle_text([math.pi / 2, math.pi])
    '2 learned angles, 90.0° to 180.0°, mean 135.0°'
    """
    degrees = [math.degrees(value) for value in values]
    if not degrees or not all(map(math.isfinite, degrees)):
        return f"{counted(len(degrees), 'learned angle')}, not all finite"
    mean = math.fsum(degrees) / len(degrees)
    return f"{counted(len(degrees), 'learned angle')}, {min(degrees):.1f}° to {max(degrees):.1f}°, mean {mean:.1f}°"
