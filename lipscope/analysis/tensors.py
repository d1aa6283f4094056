"""Files that lipscope has no model for: what can be said of each tensor on its own."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from lipscope.analysis.layouts import (
    KERNEL_AXES,
    PYTORCH,
    SCOPE,
    Reading,
    axes_note,
    kernel_bound,
    readings_of,
    root_of_taps,
)
from lipscope.analysis.parametrised import Effective, Parametrised
from lipscope.analysis.reading import StoredMatrix
from lipscope.analysis.spectra.large_matrices import analyse_matrix
from lipscope.analysis.spectra.singular_values import measure
from lipscope.bounds.matrix import spectral_norm_bound
from lipscope.bounds.rounding import up
from lipscope.files.checkpoint import Header, TensorInfo
from lipscope.layers.contract import LinearOperator
from lipscope.models.scales import EIGHT_BITS
from lipscope.models.tensors import DTYPES, read_tensor
from lipscope.records import NOT_YET, Bound, LayerReport

NOT_FINITE = Bound.unproved("holds NaN or infinite values")

WHOLE = 2**22
"""Numbers of a tensor that is read whole (32 MB in float64); a larger one is read a slab at a time."""


def listed(header: Header, info: TensorInfo, whole: Parametrised | str | None = None) -> LayerReport:
    """A tensor as the header tells it, before anything is read.

    Args:
        header, info: which tensor.
        whole: what it makes up with others, or why that cannot be told.
    """
    kind = tensor_kind(header, info)
    shape = " x ".join(map(str, info.shape)) or "scalar"
    bound = Bound.unproved(NOT_YET) if kind != "other" else Bound.unproved(_why_other(info))
    if isinstance(whole, str):
        kind, bound = f"part of a {kind}", Bound.unproved(whole)
    elif whole is not None and info.name == whole.carrier:
        kind = f"{kind} by {whole.how}"
    elif whole is not None:
        reason = f"{whole.carrier} has the bound of the weight that it is a part of"
        kind, bound = f"part of {whole.how}", Bound.unproved(reason)
    return LayerReport(info.name, f"{kind} {shape} {info.dtype}", None, None, bound, role="tensor")


def tensor_kind(header: Header, info: TensorInfo) -> str:
    """``"matrix"``, ``"convolution kernel"`` or ``"other"``, told by dtype and shape alone."""
    if info.dtype not in DTYPES or 0 in info.shape:
        return "other"
    if len(info.shape) == 2:
        return "matrix"
    if len(info.shape) in KERNEL_AXES and readings_of(header, info):
        return "convolution kernel"
    return "other"


def _why_other(info: TensorInfo) -> str:
    if info.dtype in DTYPES or len(info.shape) < 2:
        return "neither a matrix nor a convolution kernel of floats"
    return (
        f"neither a matrix nor a convolution kernel of floats: {info.dtype} may be indices, or quantised or packed "
        "weights, whose meaning the file does not tell"
    )


def analyse_tensor(header: Header, info: TensorInfo, whole: Parametrised | str | None = None) -> LayerReport:
    """Bound and singular values of a matrix; for a kernel a bound that holds wherever it may be used.

    Of a weight that several tensors make up, the row of the carrier speaks of that weight.

    Raises:
        CheckpointError: the file has changed.
    """
    report = listed(header, info, whole)
    kind = tensor_kind(header, info)
    if kind == "other" or isinstance(whole, str) or (whole is not None and info.name != whole.carrier):
        read = info.dtype in DTYPES and 0 < info.size <= WHOLE
        spoiled = read and not bool(torch.isfinite(read_tensor(header, info)).all())
        return replace(report, bound=NOT_FINITE) if spoiled else report
    readings = readings_of(header, info) if kind == "convolution kernel" else ()
    if whole is not None:
        report = _noted(report, f"bound of the weight that {whole.how} gives with {', '.join(whole.others)}")
        if whole.scales is not None:
            down, across = whole.scales.block
            report = _noted(
                report, f"one scale for every {down} x {across} of its {info.shape[0]} x {info.size // info.shape[0]}"
            )
    if whole is None and info.dtype in EIGHT_BITS:
        report = _noted(report, "of the stored numbers: scales that the file keeps elsewhere are not applied")
    if readings:
        report = _noted(
            report,
            "singular values depend on the image size and the padding, which the file does not tell",
            axes_note(readings, len(info.shape)),
        )
    if info.size > WHOLE:
        if whole is not None and whole.scales is None:
            return replace(report, bound=Bound.unproved(f"too large to compute what {whole.how} makes of it"))
        scales = None
        if whole is not None and whole.scales is not None:
            scales = whole.scales, read_tensor(header, _info(header, whole.scales.name))
        return _large(report, StoredMatrix(header, info, scales), readings)
    tensor = read_tensor(header, info)
    others = [] if whole is None else [read_tensor(header, _info(header, name)) for name in whole.others]
    if not all(bool(torch.isfinite(values).all()) for values in (tensor, *others)):
        return replace(report, bound=NOT_FINITE)
    found = Effective(tensor, 0.0, 1.0) if whole is None else whole.compute(tensor, *others)
    if isinstance(found, str):
        return replace(report, bound=Bound.unproved(found))
    if readings:
        return replace(report, bound=_around(kernel_bound(found.weight, readings), found, readings))
    matrix = Bound(spectral_norm_bound(found.weight), "matrix norm by Cholesky")
    report = replace(report, bound=_around(matrix, found, readings))
    try:
        measured = measure(matrix_operator(found.weight / found.divisor))
    except OverflowError as error:
        return _noted(report, str(error))
    return measured.told_by(report)


def _noted(report: LayerReport, *notes: str) -> LayerReport:
    return replace(report, notes=(*report.notes, *notes))


def _info(header: Header, name: str) -> TensorInfo:
    return next(info for info in header.tensors if info.name == name)


def _around(bound: Bound, found: Effective, readings: tuple[Reading, ...]) -> Bound:
    """The bound of what a layer computes: what rounding changed is added, then the divisor divides.

    The norm of a kernel is at most the root of its taps times the l2 norm of its numbers.
    """
    value = bound.value
    if found.error:
        area = max((math.prod(reading.sides(tuple(found.weight.shape))) for reading in readings), default=1)
        value = up(value + up(found.error * up(math.sqrt(area)), 1), 1)
    if found.divisor != 1.0:
        value = up(value / found.divisor)
    if not math.isfinite(value):
        return Bound.unproved("the bound overflows float64")
    return replace(bound, value=value)


def _large(report: LayerReport, matrix: StoredMatrix, readings: tuple[Reading, ...]) -> LayerReport:
    """A matrix, or a kernel as its matrix (out, in h w), from its Gram matrix."""
    if readings and readings != (PYTORCH,):
        return replace(report, bound=Bound.unproved("too large to bound for every reading of its axes"))
    found = analyse_matrix(matrix, values=not readings)
    if readings and found.bound.proved:
        area = math.prod(matrix.info.shape[2:])
        value = up(found.bound.value * up(math.sqrt(area)), 1)
        method = f"{root_of_taps(len(matrix.info.shape))} times the norm of one unfolding, {SCOPE}"
        return replace(report, bound=replace(found.bound, value=value, method=method))
    report = replace(report, bound=found.bound)
    return report if found.measured is None else found.measured.told_by(report)


def matrix_operator(matrix: Tensor) -> LinearOperator:
    """A matrix as an operator."""
    rows, columns = matrix.shape
    return LinearOperator((rows, columns), lambda v: v @ matrix.mT, lambda v: v @ matrix, matrix.dtype)
