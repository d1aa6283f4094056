"""Files that lipscope has no model for: what can be said of each tensor on its own."""

from __future__ import annotations

from dataclasses import replace

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lipscope.bounds.convolution import every_size_bound, unfolding_bound
from lipscope.bounds.matrix import spectral_norm_bound
from lipscope.checkpoint import Header, TensorInfo
from lipscope.errors import CheckpointError
from lipscope.layers.contract import LinearOperator
from lipscope.records import Bound, LayerReport
from lipscope.spectra.singular_values import measure

FLOATS = ("F64", "F32", "F16", "BF16")

LARGEST_KERNEL = 15
"""Height and width up to which a tensor with four axes is taken for a convolution kernel."""

FREQUENCY_EFFORT = 2e9
"""out * in * min(out, in) up to which the bound over frequencies is computed; beyond it the unfoldings' bound."""


def listed(info: TensorInfo) -> LayerReport:
    """A tensor as the header tells it, before anything is read."""
    kind = tensor_kind(info)
    shape = " x ".join(map(str, info.shape)) or "scalar"
    reason = "not computed yet" if kind != "other" else "neither a matrix nor a convolution kernel of floats"
    return LayerReport(info.name, f"{kind} {shape} {info.dtype}", None, None, Bound.unproved(reason), role="tensor")


def tensor_kind(info: TensorInfo) -> str:
    """``"matrix"``, ``"convolution kernel"`` or ``"other"``, told by dtype and shape alone."""
    if info.dtype not in FLOATS or 0 in info.shape:
        return "other"
    if len(info.shape) == 2:
        return "matrix"
    if len(info.shape) == 4 and max(info.shape[2:]) <= LARGEST_KERNEL:
        return "convolution kernel"
    return "other"


def read_tensor(header: Header, info: TensorInfo) -> Tensor:
    """One tensor, in float64.

    Raises:
        CheckpointError: the file has changed, or its header holds what safetensors refuses.
    """
    try:
        with safe_open(header.file_of(info.name), framework="pt") as file:
            tensor: Tensor = file.get_tensor(info.name)
    except SafetensorError as error:
        raise CheckpointError(
            "not a safetensors file", where=str(header.file_of(info.name)), why=str(error)[:200]
        ) from error
    return tensor.to(torch.float64)


def analyse_tensor(header: Header, info: TensorInfo) -> LayerReport:
    """Bound and singular values of a matrix; for a kernel a bound that holds wherever it may be used."""
    report = listed(info)
    kind = tensor_kind(info)
    if kind == "other":
        return report
    tensor = read_tensor(header, info)
    if not bool(torch.isfinite(tensor).all()):
        return replace(report, bound=Bound.unproved("holds NaN or infinite values"))
    if kind == "matrix":
        report = replace(report, bound=Bound(spectral_norm_bound(tensor), "matrix norm by Cholesky"))
        try:
            measured = measure(matrix_operator(tensor))
        except OverflowError as error:
            return replace(report, notes=(str(error),))
        return replace(
            report,
            sigma_max=measured.largest,
            sigma_min=measured.smallest,
            spectrum=measured.spectrum,
        )
    bound = kernel_bound(tensor)
    note = "singular values depend on the image size and the padding, which the file does not tell"
    return replace(report, bound=bound, notes=(note,))


def kernel_bound(kernel: Tensor) -> Bound:
    """A bound for every image size, zero or circular padding, any stride and any grouping."""
    scope = "for every image size, zero or circular padding, stride and grouping"
    out_channels, in_channels = kernel.shape[:2]
    if out_channels * in_channels * min(out_channels, in_channels) * 1024 <= FREQUENCY_EFFORT:
        return Bound(min(every_size_bound(kernel), unfolding_bound(kernel)), f"over all frequencies, {scope}")
    return Bound(unfolding_bound(kernel), f"sqrt(h w) times the smallest unfolding norm, {scope}")


def matrix_operator(matrix: Tensor) -> LinearOperator:
    """A matrix as an operator."""
    rows, columns = matrix.shape
    return LinearOperator((rows, columns), lambda v: v @ matrix.mT, lambda v: v @ matrix, matrix.dtype)
