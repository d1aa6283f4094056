"""Files that lipscope has no model for: what can be said of each tensor on its own."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from lipscope.analysis.reading import DTYPES, StoredMatrix, read_tensor
from lipscope.analysis.spectra.large_matrices import analyse_matrix
from lipscope.analysis.spectra.singular_values import measure
from lipscope.bounds.convolution import every_size_bound, unfolding_bound
from lipscope.bounds.matrix import spectral_norm_bound
from lipscope.bounds.rounding import up
from lipscope.files.checkpoint import Header, TensorInfo
from lipscope.layers.contract import LinearOperator
from lipscope.records import Bound, LayerReport

LARGEST_KERNEL = 15
"""Sides up to which a tensor with three to five axes is taken for the kernel of a convolution of 1 to 3 dimensions."""

KERNEL_AXES = (3, 4, 5)
"""Output channels, input channels, and one to three sides."""

FREQUENCY_EFFORT = 2e9
"""out * in * min(out, in) up to which the bound over frequencies is computed; beyond it the unfoldings' bound."""

WHOLE = 2**22
"""Numbers of a tensor that is read whole (32 MB in float64); a larger one is read a slab at a time."""

ROOTS = {3: "sqrt(k)", 4: "sqrt(h w)", 5: "sqrt(d h w)"}
"""The root of the number of taps, by the axes of a kernel."""

SCOPE = "for every image size, zero or circular padding, stride and grouping"


def listed(info: TensorInfo) -> LayerReport:
    """A tensor as the header tells it, before anything is read."""
    kind = tensor_kind(info)
    shape = " x ".join(map(str, info.shape)) or "scalar"
    reason = "not computed yet" if kind != "other" else _why_other(info)
    return LayerReport(info.name, f"{kind} {shape} {info.dtype}", None, None, Bound.unproved(reason), role="tensor")


def tensor_kind(info: TensorInfo) -> str:
    """``"matrix"``, ``"convolution kernel"`` or ``"other"``, told by dtype and shape alone."""
    if info.dtype not in DTYPES or 0 in info.shape:
        return "other"
    if len(info.shape) == 2:
        return "matrix"
    if len(info.shape) in KERNEL_AXES and max(info.shape[2:]) <= LARGEST_KERNEL:
        return "convolution kernel"
    return "other"


def _why_other(info: TensorInfo) -> str:
    if info.dtype in DTYPES or len(info.shape) < 2:
        return "neither a matrix nor a convolution kernel of floats"
    return (
        f"neither a matrix nor a convolution kernel of floats: {info.dtype} may be indices, or quantised or packed "
        "weights, whose meaning the file does not tell"
    )


def analyse_tensor(header: Header, info: TensorInfo) -> LayerReport:
    """Bound and singular values of a matrix; for a kernel a bound that holds wherever it may be used.

    Raises:
        CheckpointError: the file has changed.
    """
    report = listed(info)
    kind = tensor_kind(info)
    if kind == "other":
        return report
    if info.dtype.startswith("F8"):
        report = replace(report, notes=("of the stored numbers: scales that the file keeps elsewhere are not applied",))
    if kind == "convolution kernel":
        note = "singular values depend on the image size and the padding, which the file does not tell"
        report = replace(report, notes=(*report.notes, note))
    if info.size > WHOLE:
        return _large(report, StoredMatrix(header, info))
    tensor = read_tensor(header, info)
    if not bool(torch.isfinite(tensor).all()):
        return replace(report, bound=Bound.unproved("holds NaN or infinite values"))
    if kind == "convolution kernel":
        return replace(report, bound=kernel_bound(tensor))
    report = replace(report, bound=Bound(spectral_norm_bound(tensor), "matrix norm by Cholesky"))
    try:
        measured = measure(matrix_operator(tensor))
    except OverflowError as error:
        return replace(report, notes=(*report.notes, str(error)))
    return replace(report, sigma_max=measured.largest, sigma_min=measured.smallest, spectrum=measured.spectrum)


def _large(report: LayerReport, matrix: StoredMatrix) -> LayerReport:
    """A matrix, or a kernel as its matrix (out, in h w), from its Gram matrix."""
    kernel = len(matrix.info.shape) in KERNEL_AXES
    found = analyse_matrix(matrix, values=not kernel)
    if kernel and found.bound.proved:
        area = math.prod(matrix.info.shape[2:])
        value = up(found.bound.value * up(math.sqrt(area)), 1)
        method = f"{ROOTS[len(matrix.info.shape)]} times the norm of one unfolding, {SCOPE}"
        return replace(report, bound=replace(found.bound, value=value, method=method))
    report = replace(report, bound=found.bound)
    if (measured := found.measured) is None:
        return report
    return replace(report, sigma_max=measured.largest, sigma_min=measured.smallest, spectrum=measured.spectrum)


def kernel_bound(kernel: Tensor) -> Bound:
    """A bound for every image size, zero or circular padding, any stride and any grouping.

    A kernel (out, in, k) is the kernel (out, in, 1, k) of images of one row. A kernel (out, in, d, h, w) has at every
    frequency the matrix (I x a)^T U (I x b): U unfolds (out, d | in, h w) or (out, h w | in, d), a and b are of
    modulus 1. Its norm is at most sqrt(d h w) |U|, as of the kernel (out, in, d, h w) of two dimensions.

    Args:
        kernel: (out, in, k), (out, in, h, w) or (out, in, d, h, w), float64.
    """
    out_channels, in_channels = kernel.shape[:2]
    if kernel.ndim == 5:
        bound = unfolding_bound(kernel.flatten(3))
        return Bound(bound, f"sqrt(d h w) times the smallest unfolding norm, {SCOPE}")
    kernel = kernel.unsqueeze(2) if kernel.ndim == 3 else kernel
    if out_channels * in_channels * min(out_channels, in_channels) * 1024 <= FREQUENCY_EFFORT:
        return Bound(min(every_size_bound(kernel), unfolding_bound(kernel)), f"over all frequencies, {SCOPE}")
    return Bound(unfolding_bound(kernel), f"sqrt(h w) times the smallest unfolding norm, {SCOPE}")


def matrix_operator(matrix: Tensor) -> LinearOperator:
    """A matrix as an operator."""
    rows, columns = matrix.shape
    return LinearOperator((rows, columns), lambda v: v @ matrix.mT, lambda v: v @ matrix, matrix.dtype)
