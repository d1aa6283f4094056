"""The layers as data for export: every number under a name that says bound or estimate."""

from __future__ import annotations

from lipscope.tui.layers.rows import Row
from lipscope.tui.numerals import shape_text
from lipscope.tui.panes import Cells, of


def sheet_row(row: Row) -> Cells:
    """One layer; what is not known is None.

    >>> sheet_row(Row("head", "dense"))["kind"]
    'dense'
    """
    report = row.report
    bound, low, high, norms = (of(report, name) for name in ("bound", "sigma_min", "sigma_max", "gradient_norm"))
    shapes = (of(report, "input_shape"), of(report, "output_shape"))
    inside, outside = (None if shape is None else shape_text(shape) for shape in shapes)
    return {
        "name": row.key, "kind": of(report, "kind") or row.kind, "role": of(report, "role"),
        "input_shape": inside, "output_shape": outside,
        "bound": of(bound, "value") if of(bound, "proved") else None,
        "bound_proved": of(bound, "proved"),
        "bound_method": of(bound, "method") if of(bound, "proved") else of(bound, "reason"),
        "sigma_min_estimate": of(low, "value"), "sigma_max_estimate": of(high, "value"),
        "sigma_method": of(high, "method"),
        "share_of_sigma_near_1_estimate": of(of(report, "spectrum"), "at_one"),
        "gradient_norm_mean_estimate": of(norms, "mean"), "gradient_norm_min_estimate": of(norms, "minimum"),
        "gradient_norm_max_estimate": of(norms, "maximum"),
    }  # fmt: skip
