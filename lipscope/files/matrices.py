"""The matrices that a file stores for a layer, reduced to what a screen can show. Read by a thread, without torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lipscope.errors import CheckpointError, LipscopeError
from lipscope.files.checkpoint import Header, TensorInfo, changed, open_at, read_header

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST = 1 << 26
"""Entries; a larger tensor is not read for a picture."""

SIDE = 256
"""The longest side of a matrix that is kept for drawing; a longer one is reduced by whole blocks."""

DTYPES = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True, eq=False)
class Kernel:
    """What a file stores for one layer, as matrices."""

    layer: str  # the name that was asked for
    tensor: str = ""  # the name of the tensor; empty where the file stores no matrix for the layer
    shape: tuple[int, ...] = ()  # of the tensor, outputs x inputs x taps
    grid: tuple[int, int] = (1, 1)  # rows and columns of taps: (3, 3) of a 3x3 convolution, (1, 1) of a matrix
    # (number of taps, rows, columns), each entry the one of largest magnitude of a block; NaN where the block holds a
    # value that is not finite
    taps: NDArray[np.float32] | None = None
    block: tuple[int, int] = (1, 1)  # rows and columns of that block
    scale: float = 0.0  # the largest magnitude of a finite entry
    unknown: int = 0  # how many entries are not finite
    error: LipscopeError | None = None  # why there is nothing


def tensor_of(tensors: Sequence[TensorInfo], layer: str) -> TensorInfo | None:
    """The largest tensor of at least two axes under the name of a layer; None where there is none."""
    inside = f"{layer}."
    matrices = [one for one in tensors if len(one.shape) >= 2 and (one.name == layer or one.name.startswith(inside))]
    return max(matrices, key=lambda one: (one.size, one.name), default=None)


def read_kernel(path: Path, layer: str) -> Kernel:
    """The matrices that a file stores for a layer.

    Raises:
        CheckpointError: the file cannot be read, or the tensor is too large or of a type that is not drawn.
    """
    header = read_header(path)
    info = tensor_of(header.tensors, layer)
    if info is None:
        return Kernel(layer)
    if info.size > MOST:
        raise CheckpointError(f"the tensor has {info.size:,} entries, more than are drawn", where=info.name)
    if info.size == 0:
        raise CheckpointError("the tensor is empty", where=info.name)
    return reduced(layer, info.name, _values(header, info))


def _values(header: Header, info: TensorInfo) -> NDArray[np.float32]:
    """The tensor in float32: values beyond its range become infinite, and count as not finite."""
    import numpy as np

    dtype = DTYPES.get(info.dtype)
    if dtype is None:
        raise CheckpointError(f"tensors of type {info.dtype} are not drawn", where=info.name)
    try:
        with open_at(header, info) as file:
            raw = file.read(info.offsets[1] - info.offsets[0])
    except OSError as error:
        raise changed(header.path) from error
    stored = np.frombuffer(raw, dtype)
    if stored.size != info.size:
        raise changed(header.path)
    if info.dtype == "BF16":  # the upper half of a float32
        return (stored.astype("<u4") << 16).view("<f4").reshape(info.shape)
    with np.errstate(over="ignore"):
        return stored.astype(np.float32).reshape(info.shape)


def reduced(layer: str, name: str, values: NDArray[np.float32]) -> Kernel:
    """The kernel of a tensor whose first axis are outputs, the second inputs, and the rest taps.

    Args:
        layer, name: of the layer and of the tensor.
        values: at least two axes, not empty.
    """
    import numpy as np

    outputs, inputs, *window = values.shape
    grid = (window[0], window[1]) if len(window) == 2 else (1, math.prod(window))
    finite = np.isfinite(values)
    known = np.where(finite, values, np.nan)
    magnitudes = np.abs(values[finite])
    block = (-(-outputs // SIDE), -(-inputs // SIDE))
    taps = np.moveaxis(known.reshape(outputs, inputs, -1), 2, 0)
    return Kernel(
        layer, name, values.shape, grid, extremes(taps, block), block,
        float(magnitudes.max(initial=0.0)), int(values.size - magnitudes.size),
    )  # fmt: skip


def extremes(matrices: NDArray[np.float32], block: tuple[int, int]) -> NDArray[np.float32]:
    """The entry of largest magnitude of every block of rows x columns, NaN where one is in it.

    Args:
        matrices: (n, rows, columns).
        block: rows and columns; the last blocks may be smaller.

    >>> import numpy as np
    >>> extremes(np.array([[[1, -3, 2], [0, 1, -1]]], np.float32), (2, 2))
    array([[[-3.,  2.]]], dtype=float32)
    """
    import numpy as np

    down, across = (np.arange(0, size, step) for size, step in zip(matrices.shape[1:], block, strict=True))
    high = np.maximum.reduceat(np.maximum.reduceat(matrices, down, axis=1), across, axis=2)
    low = np.minimum.reduceat(np.minimum.reduceat(matrices, down, axis=1), across, axis=2)
    return np.where(np.isnan(high) | (high >= -low), high, low)
