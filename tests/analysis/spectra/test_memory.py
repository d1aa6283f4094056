from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lipscope.analysis.reading import StoredMatrix
from lipscope.analysis.spectra.memory import FLOOR, MOST_ROWS, Plan, plan_for
from lipscope.files.checkpoint import Header, TensorInfo
from lipscope.models.tensors import DTYPES


def plan(rows: int, columns: int, dtype: str) -> Plan:
    size = rows * columns * DTYPES[dtype].itemsize
    info = TensorInfo("w", dtype, (rows, columns), (0, size))
    return plan_for(StoredMatrix(Header(Path("none.safetensors"), size, (info,)), info))


@pytest.mark.parametrize(
    ("rows", "columns", "dtype", "dense", "held"),
    [
        (3000, 3000, "F32", True, torch.float64),
        (11008, 4096, "F32", True, torch.float64),
        (4096, 4096, "F32", False, torch.float64),
        (4096, 4096, "BF16", False, torch.float64),
        (6000, 6000, "F32", False, torch.float64),
        (8192, 8192, "F32", False, torch.float64),
        (8192, 28672, "BF16", False, torch.float64),
        (9000, 9000, "BF16", False, torch.float32),
        (12000, 12000, "F16", False, torch.float32),
        (128_000, 4096, "BF16", True, torch.float64),
        (3_000_000, 64, "F32", True, torch.float64),
    ],
)
def test_the_most_exact_way_for_which_there_is_room(rows, columns, dtype, dense, held):
    found = plan(rows, columns, dtype)
    assert (found.blocks, found.dense, found.dtype) == (1, dense, held)
    assert plan(columns, rows, dtype) == found


@pytest.mark.parametrize("dtype", ["F64", "F32", "BF16", "F8_E4M3"])
@pytest.mark.parametrize(
    ("rows", "columns"), [(2000, 2000), (5000, 7000), (8192, 8192), (16384, 16384), (40_000, 40_000)]
)
def test_what_is_held_is_less_than_twice_the_tensor(rows, columns, dtype):
    found = plan(rows, columns, dtype)
    side = min(rows, columns) / found.blocks
    size = 8 if found.dtype == torch.float64 else 4
    held = 16 * side**2 if found.dense else size * side * (side + 128) / 2
    assert held < max(FLOOR, 2 * rows * columns * DTYPES[dtype].itemsize)
    assert side <= MOST_ROWS
    assert found.panels >= 1
