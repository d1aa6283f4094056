from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lipscope.checkpoint import read_header
from lipscope.errors import CheckpointError
from lipscope.spectra import large_matrices, reading, singular_values
from lipscope.spectra.large_matrices import analyse_matrix
from lipscope.spectra.reading import DTYPES, StoredMatrix, read_tensor

NAMES = {dtype: name for name, dtype in DTYPES.items()}


def stored(folder: Path, tensor: torch.Tensor) -> StoredMatrix:
    """The tensor in a file, behind another one so that its bytes do not begin with the data."""
    path = folder / "matrix.safetensors"
    save_file({"a": torch.ones(3, dtype=torch.float64), "w": tensor.contiguous()}, path)
    header = read_header(path)
    (info,) = (info for info in header.tensors if info.name == "w")
    return StoredMatrix(header, info)


def random(*shape: int, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    """Many slabs, of uneven size, even of small matrices."""
    monkeypatch.setattr(reading, "PART", 100)


@pytest.mark.parametrize("dtype", NAMES, ids=NAMES.get)
@pytest.mark.parametrize("shape", [(20, 9), (9, 20), (7, 7), (1, 300), (300, 1)])
def test_every_dtype_is_read_exactly(tmp_path, dtype: torch.dtype, shape: tuple[int, int]) -> None:
    tensor = random(*shape).to(dtype)
    matrix = stored(tmp_path, tensor)
    assert matrix.info.dtype == NAMES[dtype]
    whole = torch.cat(list(matrix.parts()), dim=0 if shape[0] >= shape[1] else 1)
    assert torch.equal(whole, tensor.to(torch.float64))
    assert torch.equal(read_tensor(matrix.header, matrix.info), whole)


@pytest.mark.parametrize("shape", [(40, 13), (13, 40), (21, 21)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_bound_and_singular_values_are_those_of_the_matrix(tmp_path, shape, dtype) -> None:
    tensor = random(*shape).to(dtype)
    values = np.linalg.svd(tensor.double().numpy(), compute_uv=False)
    found = analyse_matrix(stored(tmp_path, tensor))
    assert found.bound.proved
    assert values[0] * (1 - 1e-13) <= found.bound.value <= values[0] * (1 + 1e-9)
    np.testing.assert_allclose(found.measured.spectrum.values, values, rtol=0, atol=1e-6)
    assert found.measured.largest.value == pytest.approx(values[0], rel=1e-12)
    assert found.measured.spectrum.complete


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_extreme_magnitudes(tmp_path, scale: float) -> None:
    tensor = random(30, 8, scale=scale)
    values = np.linalg.svd(tensor.numpy() / scale, compute_uv=False) * scale
    found = analyse_matrix(stored(tmp_path, tensor))
    assert values[0] * (1 - 1e-13) <= found.bound.value <= values[0] * (1 + 1e-9)
    np.testing.assert_allclose(found.measured.spectrum.values, values, rtol=1e-7)


def test_blocks_where_the_gram_matrix_is_too_large(tmp_path, monkeypatch) -> None:
    tensor = random(60, 20)
    values = np.linalg.svd(tensor.numpy(), compute_uv=False)
    monkeypatch.setattr(large_matrices, "GRAM_BYTES", 8 * 7**2)
    found = analyse_matrix(stored(tmp_path, tensor))
    assert found.measured is None
    assert "norms of 3 blocks by Cholesky, up to sqrt(3) loose" in found.bound.method
    assert values[0] <= found.bound.value <= values[0] * math.sqrt(3)
    # All in one block: nothing is lost beside it.
    tensor[:, 7:] = 0
    found = analyse_matrix(stored(tmp_path, tensor))
    assert found.bound.value == pytest.approx(np.linalg.norm(tensor.numpy(), 2), rel=0.5)


def test_beyond_the_dense_limit(tmp_path, monkeypatch) -> None:
    tensor = random(300, 120)
    values = np.linalg.svd(tensor.numpy(), compute_uv=False)
    monkeypatch.setattr(singular_values, "DENSE_LIMIT", 100)
    measured = analyse_matrix(stored(tmp_path, tensor)).measured
    assert "quadrature" in measured.spectrum.method
    assert measured.largest.value == pytest.approx(values[0], rel=1e-3)
    assert measured.smallest.value == pytest.approx(values[-1], abs=1e-3 * values[0])


def test_numbers_that_are_not_finite_and_zeros(tmp_path) -> None:
    tensor = random(30, 8)
    tensor[29, 7] = math.nan
    assert "NaN" in analyse_matrix(stored(tmp_path, tensor)).bound.reason
    assert analyse_matrix(stored(tmp_path, torch.zeros(30, 8))).bound.value == 0.0


def test_files_that_change_meanwhile(tmp_path) -> None:
    matrix = stored(tmp_path, random(30, 8))
    stored(tmp_path, random(8, 30))
    with pytest.raises(CheckpointError, match="changed while"):
        next(matrix.parts())
    matrix.header.path.write_bytes(b"something else")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        next(matrix.parts())
    matrix = stored(tmp_path, random(30, 8))
    running = matrix.parts()
    next(running)
    with matrix.header.path.open("rb+") as file:
        file.truncate(200)
    with pytest.raises(CheckpointError, match="changed while"):
        list(running)


MEASURE = """
import json, resource, sys
from pathlib import Path
from lipscope.spectra.analysis import analyse
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
list(analyse(Path(sys.argv[1])))
before = peak()
layers = {event.layer.name: event.layer for event in analyse(Path(sys.argv[2])) if event.layer}
report = layers["embedding"]
print(json.dumps({"before": before, "after": peak(), "bound": report.bound.value, "least": report.sigma_min.value}))
"""


def test_memory_stays_below_twice_the_largest_tensor(tmp_path) -> None:
    """A file of 330 MB, analysed in a process whose peak is told by the system; the norm is known by construction."""
    block = torch.randn(1024, 192, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    copies = 768
    small, large = tmp_path / "small.safetensors", tmp_path / "large.safetensors"
    save_file({"embedding": block}, small)
    tensors = {"a": torch.ones(64, 64), "embedding": block.repeat(copies, 1), "z": block[:192]}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, large)
    size = tensors["embedding"].nbytes
    del tensors
    assert size > 300e6
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(small), str(large)], capture_output=True, text=True, check=True
    )
    large.unlink()
    found = json.loads(run.stdout)
    values = np.linalg.svd(block.double().numpy(), compute_uv=False) * math.sqrt(copies)
    assert found["bound"] == pytest.approx(values[0], rel=1e-9)
    assert found["least"] == pytest.approx(values[-1], rel=1e-6)
    # The tensor itself is never held, in any precision.
    assert found["after"] - found["before"] < size
    assert found["after"] - found["before"] < 2 * size
