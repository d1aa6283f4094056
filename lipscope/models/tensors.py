"""Tensors of a safetensors file as numbers.

Every dtype read here is a set of real numbers that float64 contains, so nothing is rounded. Other dtypes (integers,
which may be 4-bit weights packed into bytes; complex numbers) are named and left alone.
"""

from __future__ import annotations

from io import FileIO
from pathlib import Path

import torch
from torch import Tensor

from lipscope.files.checkpoint import Header, TensorInfo, changed, open_at
from lipscope.ground import check_ground

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E8M0": torch.float8_e8m0fnu,
}
"""The stored formats whose numbers are read, each exactly."""


def read_tensor(header: Header, info: TensorInfo) -> Tensor:
    """One tensor, in float64.

    Raises:
        CheckpointError: the file has changed.
    """
    check_ground()
    with open_at(header, info) as file:
        return next_numbers(file, info.size, DTYPES[info.dtype]).reshape(info.shape)


def next_numbers(file: FileIO, count: int, dtype: torch.dtype) -> Tensor:
    """(count,) float64: the numbers that come next in the file.

    Raises:
        CheckpointError: they do not come: it was cut off.
    """
    buffer = bytearray(count * dtype.itemsize)
    view = memoryview(buffer)
    try:
        while view and (got := file.readinto(view)):
            view = view[got:]
    except OSError as error:
        raise changed(Path(str(file.name))) from error
    if view:
        raise changed(Path(str(file.name)))
    return torch.frombuffer(buffer, dtype=dtype).to(torch.float64)
