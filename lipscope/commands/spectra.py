"""Bounds and singular values as text: how each was obtained, and what a layer's spectrum tells as a whole."""

from __future__ import annotations

from collections import Counter
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING

from lipscope.commands.names import Names, column_of
from lipscope.records import NEAR_ONE
from lipscope.visible import harmless

if TYPE_CHECKING:
    from lipscope.records import InspectReport, LayerReport, Spectrum

MOST = 12
"""Different methods, reasons or notes that are listed."""


def bound_lines(report: InspectReport) -> list[str]:
    """How the bounds were obtained and how tensors were read, each said once, with how many it is said of."""
    layers = report.layers
    methods = [f"{x.bound.label} by {x.bound.method} ({x.bound.arithmetic})" for x in layers if x.bound.proved]
    reasons = [x.bound.reason for x in layers if not x.bound.proved]
    notes = [note for x in layers if x.role == "tensor" for note in x.notes]
    return [
        *_counted("how the bounds are proved:", methods),
        *_counted("why no bound is proved:", reasons),
        *_counted("how tensors were read:", notes),
    ]


def _counted(title: str, said: list[str]) -> list[str]:
    counts = Counter(said)
    lines = [f"  {count:4d} x {harmless(text, 250)}" for text, count in list(counts.items())[:MOST]]
    more = [f"  and {len(counts) - MOST} further ones; --json lists them"] if len(counts) > MOST else []
    return ["", title, *lines, *more] if lines else []


def spectrum_lines(report: InspectReport) -> list[str]:
    """A line per layer: how many singular values, their share at 1, stable rank, condition, accuracy, proved range."""
    measured = [(layer, layer.spectrum) for layer in report.layers if layer.spectrum is not None]
    if not measured:
        return []
    names = column_of(layer.name for layer, _ in measured)
    lines = [
        "",
        "singular values over the smaller side of each layer: estimates, but for the proved range. "
        f"at 1: the share within {NEAR_ONE} of 1.",
        *names.above,
        f"  {'layer':{names.width}s} {'number':>8s} {'at 1':>7s} {'stable rank':>12s} {'condition':>10s} "
        f"{'accuracy':>9s}  proved range; method",
    ]
    return lines + [_row(layer, spectrum, names) for layer, spectrum in measured]


def _row(layer: LayerReport, spectrum: Spectrum, names: Names) -> str:
    condition = "" if spectrum.orthogonal else f"{spectrum.condition_number:.4g}"
    accuracy = "" if spectrum.accuracy is None else f"{spectrum.accuracy:.1e}"
    proved = "" if spectrum.proved_range is None else f"{_interval(*spectrum.proved_range)}; "
    counted = f"{'' if spectrum.complete else '~'}{spectrum.size}"
    return (
        f"  {names[layer.name]} {counted:>8s} {spectrum.at_one or 0.0:>7.1%} {spectrum.stable_rank:>12.2f} "
        f"{condition:>10s} {accuracy:>9s}  {proved}{harmless(spectrum.method, 100)}"
    )


def _interval(lower: float, upper: float) -> str:
    """Rounded outward to ten decimals.

    >>> _interval(0.99999999999, 1.0)
    '[0.9999999999, 1.0000000000]'
    """
    ends = ((lower, ROUND_FLOOR), (upper, ROUND_CEILING))
    low, high = (Decimal(value).quantize(Decimal("1e-10"), rounding=direction) for value, direction in ends)
    return f"[{low:f}, {high:f}]"
