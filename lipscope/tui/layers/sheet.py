"""The layers as data for export: every number under a name that says bound or estimate."""

from __future__ import annotations

from lipscope.records import Estimate, GradientNorms
from lipscope.tui.layers.rows import Row
from lipscope.tui.numerals import shape_text
from lipscope.tui.panes import Value

SHEET_COLUMNS = (
    "name", "kind", "role", "input_shape", "output_shape", "bound", "bound_proved", "bound_method",
    "sigma_min_estimate", "sigma_max_estimate", "sigma_method", "share_of_sigma_near_1_estimate",
    "gradient_norm_mean_estimate", "gradient_norm_min_estimate", "gradient_norm_max_estimate",
)  # fmt: skip


def sheet_row(row: Row) -> tuple[Value, ...]:
    """One layer; what is not known is None.

    >>> sheet_row(Row("head", "dense"))[:4]
    ('head', 'dense', None, None)
    """
    report = row.report
    if report is None:
        return (row.key, row.kind, *(None,) * (len(SHEET_COLUMNS) - 2))
    spectrum, gradient = report.spectrum, report.gradient_norm
    return (
        row.key,
        report.kind,
        report.role,
        shape_text(report.input_shape) if report.input_shape is not None else None,
        shape_text(report.output_shape) if report.output_shape is not None else None,
        report.bound.value if report.bound.proved else None,
        report.bound.proved,
        report.bound.method if report.bound.proved else report.bound.reason,
        _value(report.sigma_min),
        _value(report.sigma_max),
        report.sigma_max.method if report.sigma_max else None,
        spectrum.at_one if spectrum is not None else None,
        *_norms(gradient),
    )


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value


def _norms(norms: GradientNorms | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if norms is None else (norms.mean, norms.minimum, norms.maximum)
