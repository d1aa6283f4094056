"""Kernels in files that do not say how their axes are read, and where bounds of kernels hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lipscope.analysis.analysis import inspect_report
from lipscope.analysis.layouts import PYTORCH, READINGS, SCOPE, kernel_bound
from tests.dense import covers, zero_padded_matrix


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def matrix_of(layer, channels, size):
    """(outputs, inputs) of a linear layer of torch's own, by its unit vectors."""
    inputs = torch.eye(channels * size * size, dtype=torch.float64).reshape(-1, channels, size, size)
    with torch.no_grad():
        return layer(inputs).flatten(1).T.numpy()


def test_circular_padding_that_adds_outputs_is_not_in_the_scope():
    """The counterexample that the words leave out: a 1x1 kernel with padding 1 on 2x2 sees every pixel four times."""
    layer = nn.Conv2d(1, 1, 1, padding=1, padding_mode="circular", bias=False).double()
    nn.init.ones_(layer.weight)
    norm = np.linalg.norm(matrix_of(layer, 1, 2), 2)
    assert norm == pytest.approx(2.0)
    assert kernel_bound(layer.weight.detach()).value < 1 + 1e-12
    assert "circular padding that adds no outputs" in SCOPE
    assert SCOPE in kernel_bound(layer.weight.detach()).method


@pytest.mark.parametrize("size", [3, 4, 5, 8])
@pytest.mark.parametrize(
    ("kernel", "padding", "stride", "dilation"),
    [(3, 1, 1, 1), (3, 1, 2, 1), (3, 0, 1, 1), (2, 0, 1, 1), (3, 2, 1, 2), (5, 2, 3, 1), (4, 1, 1, 1), (3, 1, 3, 1)],
)
def test_circular_padding_that_adds_none_is(size, kernel, padding, stride, dilation):
    if dilation * (kernel - 1) >= size + 2 * padding:
        pytest.skip("the kernel does not fit")
    layer = nn.Conv2d(
        2, 3, kernel, stride, padding, dilation, padding_mode="circular" if padding else "zeros", bias=False
    ).double()
    layer.weight.data.copy_(noise(3, 2, kernel, kernel, seed=kernel))
    assert covers(kernel_bound(layer.weight.detach()).value, matrix_of(layer, 2, size))


def row_of(tmp_path, kernel, metadata):
    path = tmp_path / "m.safetensors"
    save_file({"conv.weight": kernel.contiguous()}, path, metadata)
    (row,) = inspect_report(path).layers
    return row


@pytest.mark.parametrize("metadata", [None, {"format": "mlx"}, {"format": "np"}])
def test_without_pytorchs_word_every_reading_is_covered(tmp_path, metadata):
    """A kernel of 4 outputs, 3 inputs and 3x3 taps, stored in each of the layouts."""
    kernel = noise(4, 3, 3, 3, seed=1)
    matrix = zero_padded_matrix(kernel.numpy(), 6, 6)
    for reading in READINGS:
        stored = kernel.permute(np.argsort(reading.axes(4)).tolist())
        row = row_of(tmp_path, stored, metadata)
        assert row.bound.proved
        assert covers(row.bound.value, matrix)
        assert any("does not say how its axes are read" in note and "MLX" in note for note in row.notes)


def test_pytorchs_own_files_are_read_in_its_way(tmp_path):
    kernel = noise(4, 3, 3, 3, seed=1)
    row = row_of(tmp_path, kernel, {"format": "pt"})
    assert row.bound == kernel_bound(kernel, (PYTORCH,))
    assert f"axes read as {PYTORCH.text(4)}" in row.notes


def test_one_possible_reading_is_named(tmp_path):
    """With 64 channels on both sides only one way leaves a kernel of ordinary size."""
    row = row_of(tmp_path, noise(64, 3, 3, 64, seed=2), {"format": "mlx"})
    assert row.bound.proved
    assert "axes read as out x h x w x in (MLX)" in row.notes
    assert covers(row.bound.value, zero_padded_matrix(noise(64, 3, 3, 64, seed=2).permute(0, 3, 1, 2).numpy(), 3, 3))
    assert row_of(tmp_path, noise(20, 20, 20, 20), {"format": "mlx"}).kind.startswith("other")
