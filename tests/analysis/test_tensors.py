from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lipscope.analysis import layouts
from lipscope.analysis import tensors as room
from lipscope.analysis.layouts import kernel_bound
from lipscope.analysis.tensors import analyse_tensor, listed, tensor_kind
from lipscope.errors import CheckpointError
from lipscope.files.checkpoint import read_header
from lipscope.models.tensors import read_tensor
from tests.dense import circular_matrix, covers, zero_padded_matrix


@pytest.fixture
def file(tmp_path):
    """Whatever a ResNet may hold."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, generator=generator)

    content = {
        "conv1.weight": normal(6, 3, 3, 3),
        "bn1.weight": normal(6),
        "bn1.num_batches_tracked": torch.tensor(7),
        "bn1.running_mean": normal(6),
        "layer1.conv.weight": normal(4, 6, 1, 1).to(torch.bfloat16),
        "fc.weight": normal(10, 24),
        "half.weight": normal(7, 5).to(torch.float16),
        "double.weight": normal(5, 5).double(),
        "ids": torch.arange(12).reshape(3, 4),
        "images": normal(2, 3, 16, 16),
        "sequence": normal(4, 3, 50),
        "empty": torch.zeros(0, 4),
        "nan": torch.full((3, 3), math.nan),
    }
    path = tmp_path / "resnet.safetensors"
    save_file(content, path, {"format": "pt"})
    return read_header(path), content


def report(file, name):
    header, content = file
    (info,) = (info for info in header.tensors if info.name == name)
    return analyse_tensor(header, info), content[name].double()


@pytest.mark.parametrize("name", ["fc.weight", "half.weight", "double.weight"])
def test_matrices(file, name):
    found, tensor = report(file, name)
    values = np.linalg.svd(tensor.numpy(), compute_uv=False)
    assert found.kind.startswith(f"matrix {tensor.shape[0]} x {tensor.shape[1]} ")
    assert found.bound.proved
    assert values[0] * (1 - 1e-13) <= found.bound.value <= values[0] * (1 + 1e-9)
    assert found.sigma_max.value == pytest.approx(values[0], rel=1e-12)
    assert found.sigma_min.value == pytest.approx(values[-1], rel=1e-9)
    np.testing.assert_allclose(found.spectrum.values, values, rtol=1e-9)
    assert found.role == "tensor"


def test_kernels(file):
    for name in ("conv1.weight", "layer1.conv.weight"):
        found, tensor = report(file, name)
        assert found.kind.startswith("convolution kernel")
        assert found.bound.proved
        assert covers(found.bound.value, zero_padded_matrix(tensor.numpy(), 7, 6))
        assert found.sigma_max is None
        assert "does not tell" in found.notes[0]


@pytest.mark.parametrize(
    "name", ["bn1.weight", "bn1.num_batches_tracked", "ids", "images", "sequence", "empty", "bn1.running_mean"]
)
def test_what_is_neither(file, name):
    found, _ = report(file, name)
    assert found.kind.startswith("other")
    assert not found.bound.proved
    assert "neither a matrix nor a convolution kernel" in found.bound.reason
    assert (found.sigma_max, found.spectrum) == (None, None)


def test_nan_proves_nothing(file):
    found, _ = report(file, "nan")
    assert not found.bound.proved
    assert "NaN" in found.bound.reason


def test_what_the_header_alone_tells(file):
    header, content = file
    kinds = {info.name: tensor_kind(header, info) for info in header.tensors}
    assert kinds["conv1.weight"] == kinds["layer1.conv.weight"] == "convolution kernel"
    assert kinds["fc.weight"] == kinds["nan"] == "matrix"
    for info in header.tensors:
        early = listed(header, info)
        assert not early.bound.proved
        assert info.dtype in early.kind
        if kinds[info.name] != "other":
            assert "not computed yet" in early.bound.reason
            assert torch.equal(read_tensor(header, info), content[info.name].double()) or info.name == "nan"
    scalar = next(info for info in header.tensors if info.shape == ())
    assert "scalar" in listed(header, scalar).kind


def test_a_file_that_changed(file):
    header, _ = file
    header.path.write_bytes(b"something else")
    with pytest.raises(CheckpointError, match="the file changed or went"):
        read_tensor(header, header.tensors[0])


def test_matrices_too_large_for_float64(tmp_path):
    path = tmp_path / "large.safetensors"
    save_file({"w": torch.full((3, 4), 1e300, dtype=torch.float64)}, path)
    header = read_header(path)
    found = analyse_tensor(header, header.tensors[0])
    assert found.bound.value == pytest.approx(1e300 * math.sqrt(12), rel=1e-9)
    assert found.sigma_max is None
    assert "overflow" in found.notes[0]


KERNELS = [(3, 2, 3, 3), (2, 4, 5, 5), (4, 4, 1, 1), (3, 3, 1, 3), (2, 3, 4, 2), (1, 1, 7, 7), (5, 1, 3, 3)]


@pytest.mark.parametrize("effort", [layouts.FREQUENCY_EFFORT, 0.0], ids=["frequencies", "unfoldings"])
@pytest.mark.parametrize("shape", KERNELS)
def test_kernel_bounds_hold_wherever_the_kernel_is_used(monkeypatch, shape, effort):
    monkeypatch.setattr(layouts, "FREQUENCY_EFFORT", effort)
    kernel = np.random.default_rng(sum(shape)).normal(size=shape)
    bound = kernel_bound(torch.from_numpy(kernel))
    assert bound.proved
    largest = 0.0
    for height, width in ((7, 7), (8, 9), (12, 7)):
        for padding in ((0, 0), (1, 1), (shape[2] // 2, shape[3] // 2), (shape[2] - 1, shape[3] - 1)):
            for stride in (1, 2, 3):
                matrix = zero_padded_matrix(kernel, height, width, padding, stride)
                assert covers(bound.value, matrix)
                largest = max(largest, np.linalg.norm(matrix, 2))
        circular = circular_matrix(kernel, height, width)
        assert covers(bound.value, circular)
        largest = max(largest, np.linalg.norm(circular, 2))
    # No more than the method's own looseness above what is attained.
    looseness = 1.35 if effort else math.sqrt(shape[2] * shape[3])
    assert bound.value <= largest * looseness * (1 + 1e-9)


@pytest.mark.parametrize("groups", [2, 3, 6])
@pytest.mark.parametrize("effort", [layouts.FREQUENCY_EFFORT, 0.0], ids=["frequencies", "unfoldings"])
def test_kernel_bounds_hold_for_every_grouping(monkeypatch, groups, effort):
    monkeypatch.setattr(layouts, "FREQUENCY_EFFORT", effort)
    kernel = np.random.default_rng(groups).normal(size=(6, 2, 3, 3))
    bound = kernel_bound(torch.from_numpy(kernel))
    # A grouped convolution is block diagonal: its norm is that of its largest group.
    for part in np.split(kernel, groups):
        assert covers(bound.value, zero_padded_matrix(part, 6, 6))
        assert covers(bound.value, circular_matrix(part, 6, 6))


@pytest.mark.parametrize("whole", [room.WHOLE, 0], ids=["whole", "in slabs"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2])
def test_low_precision_weights_are_the_numbers_that_they_are(tmp_path, monkeypatch, dtype, whole):
    monkeypatch.setattr(room, "WHOLE", whole)
    generator = torch.Generator().manual_seed(0)
    content = {
        "w": torch.randn(9, 5, generator=generator).to(dtype),
        "k": torch.randn(3, 2, 3, 3, generator=generator).to(dtype),
    }
    path = tmp_path / "low.safetensors"
    save_file(content, path, {"format": "pt"})
    header = read_header(path)
    found = {info.name: analyse_tensor(header, info) for info in header.tensors}
    truth = np.linalg.norm(content["w"].double().numpy(), 2)
    assert truth * (1 - 1e-13) <= found["w"].bound.value <= truth * (1 + 1e-9)
    assert found["w"].sigma_max.value == pytest.approx(truth, rel=1e-9)
    kernel = content["k"].double().numpy()
    for matrix in (
        zero_padded_matrix(kernel, 7, 6),
        circular_matrix(kernel, 5, 4),
        zero_padded_matrix(kernel, 6, 6, stride=2),
    ):
        assert covers(found["k"].bound.value, matrix)
    assert "every image size, stride, dilation and grouping" in found["k"].bound.method
    scaled_elsewhere = any("scales that the file keeps elsewhere" in note for note in found["w"].notes)
    assert scaled_elsewhere == (dtype.itemsize == 1)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32, torch.bool])
def test_packed_and_integer_weights_are_named_not_guessed(tmp_path, dtype):
    path = tmp_path / "packed.safetensors"
    save_file({"q": torch.ones(8, 4).to(dtype)}, path)
    header = read_header(path)
    found = analyse_tensor(header, header.tensors[0])
    assert not found.bound.proved
    assert header.tensors[0].dtype in found.bound.reason
    assert "quantised or packed" in found.bound.reason
    assert (found.sigma_max, found.spectrum) == (None, None)


def test_a_large_kernel_that_is_not_finite(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "WHOLE", 0)
    path = tmp_path / "kernel.safetensors"
    save_file({"k": torch.full((2, 2, 3, 3), math.nan)}, path, {"format": "pt"})
    header = read_header(path)
    assert "NaN" in analyse_tensor(header, header.tensors[0]).bound.reason


@pytest.mark.parametrize("sides", [(5,), (1,), (2, 3, 2), (3, 1, 2)], ids=str)
@pytest.mark.parametrize("stride", [1, 2])
def test_kernels_of_one_and_three_dimensions(tmp_path, sides, stride):
    kernel = torch.randn(3, 4, *sides, generator=torch.Generator().manual_seed(1)).double()
    path = tmp_path / "m.safetensors"
    save_file({"a": kernel}, path, {"format": "pt"})
    header = read_header(path)
    found = analyse_tensor(header, header.tensors[0])
    assert found.kind == f"convolution kernel {' x '.join(map(str, kernel.shape))} F64"
    assert found.bound.proved
    # The matrix of the convolution, a column for each number of an input, by torch's own convolution.
    convolve = {1: torch.nn.functional.conv1d, 3: torch.nn.functional.conv3d}[len(sides)]
    inputs = torch.eye(4 * 6 ** len(sides), dtype=torch.float64).reshape(-1, 4, *[6] * len(sides))
    matrix = convolve(inputs, kernel, stride=stride, padding=[side // 2 for side in sides]).flatten(1)
    norm = float(torch.linalg.matrix_norm(matrix, 2))
    assert norm <= found.bound.value <= 3 * norm * stride ** len(sides)


def test_large_kernels_of_one_and_three_dimensions(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "WHOLE", 10)
    generator = torch.Generator().manual_seed(2)
    content = {
        "one": torch.randn(3, 4, 5, generator=generator),
        "three": torch.randn(3, 4, 2, 3, 2, generator=generator),
    }
    path = tmp_path / "m.safetensors"
    save_file(content, path, {"format": "pt"})
    header = read_header(path)
    for info in header.tensors:
        found = analyse_tensor(header, info)
        whole = float(torch.linalg.matrix_norm(content[info.name].double().flatten(1), 2))
        assert found.bound.value == pytest.approx(whole * math.prod(info.shape[2:]) ** 0.5, rel=1e-6)


@pytest.mark.parametrize("how", ["removed", "cut", "other"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_file_that_changes_during_the_analysis_is_said_to_have_changed(file, monkeypatch, how, whole):
    if not whole:
        monkeypatch.setattr(room, "WHOLE", 10)
    header, _ = file
    if how == "removed":
        header.path.unlink()
    elif how == "cut":
        header.path.write_bytes(header.path.read_bytes()[:-200])
    else:
        save_file({"a": torch.ones(2)}, header.path)
    (info,) = (info for info in header.tensors if info.name == "fc.weight")
    with pytest.raises(CheckpointError, match="the file changed or went while it was analysed"):
        analyse_tensor(header, info)
