"""Gradient norm preservation as text: a table through the depth, the layer that loses most, the tightness."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lipscope.commands.names import Names, column_of
from lipscope.records import loses_most, loss_words, round_up

if TYPE_CHECKING:
    from lipscope.records import GradientNorms, InspectReport, LayerReport, Tightness

COLUMNS = ("mean", "min", "5%", "95%", "max")
CELL = 9


def gradient_lines(report: InspectReport) -> list[str]:
    """What is known of the gradients; nothing for a file without a model."""
    norms = next((layer.gradient_norm for layer in report.layers if layer.gradient_norm), None)
    if norms is None:
        return []
    losing = loses_most(report.layers)
    measured = [layer for layer in report.layers if layer.gradient_norm or layer.gradient_norm_random]
    names = column_of(layer.name for layer in measured)
    kinds = "".join(f"{f'{kind} {COLUMNS[0]}':>{CELL + 4}s}" + _headings() for kind in ("margin", "random"))
    lines = [
        "",
        f"gradient norm preservation, ||J^T g|| / ||g||: estimates on {norms.images}.",
        "  g: the margin's gradient as it arrives; random Gaussian directions; cumulative: from the features down.",
        *names.above,
        f"  {'layer':{names.width}s}{kinds}{'cumulative':>{CELL + 3}s}",
    ]
    lines += [_row(layer, losing, names) for layer in measured]
    lines.append(_loss(losing, report))
    if report.tightness is not None:
        lines.append(_tightness(report.tightness))
    return lines


def _headings() -> str:
    return "".join(f"{name:>{CELL}s}" for name in COLUMNS[1:])


def _row(layer: LayerReport, losing: LayerReport | None, names: Names) -> str:
    cumulative = _ratio(layer.gradient_norm_cumulative.mean, 6) if layer.gradient_norm_cumulative else ""
    mark = "  <- loses most" if losing is not None and layer.name == losing.name else ""
    numbers = _numbers(layer.gradient_norm) + _numbers(layer.gradient_norm_random)
    return f"  {names[layer.name]}{numbers}{cumulative:>{CELL + 3}s}{mark}".rstrip()


def _numbers(norms: GradientNorms | None) -> str:
    if norms is None:
        return " " * (5 * CELL + 4)
    rest = (norms.minimum, norms.p05, norms.p95, norms.maximum)
    return f"{_ratio(norms.mean, 6):>{CELL + 4}s}" + "".join(f"{_ratio(value, 4):>{CELL}s}" for value in rest)


def _ratio(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if value < 1e3 else f"{value:.2e}"


def _loss(losing: LayerReport | None, report: InspectReport) -> str:
    words = loss_words(report.layers)
    if losing is None:
        return f"{words} (estimates)."
    body = [layer for layer in report.layers if layer.role == "body" and layer.gradient_norm_cumulative]
    whole = body[0].gradient_norm_cumulative
    passed = f"; the whole body passes back {_ratio(whole.mean, 4)} (mean)" if whole is not None else ""
    return f"{words}{passed}. Estimates."


def _tightness(tight: Tightness) -> str:
    return (
        f"tightness of the certificate, ||grad_x margin|| / (||w_l - w_i|| L) with the proved "
        f"L <= {round_up(tight.lipschitz)}: estimate, mean {tight.mean:.4f}, min {tight.minimum:.4f}, "
        f"5% {tight.p05:.4f}, 95% {tight.p95:.4f}, max {tight.maximum:.4f}."
    )
