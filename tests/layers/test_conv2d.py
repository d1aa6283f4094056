from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from lipscope.layers.contract import LinearLayer
from lipscope.layers.conv2d import Conv2d
from lipscope.records import Shape
from tests import dense
from tests.always import always
from tests.layers.contract import Case, LinearLayerContract, noise


def conv(out: int, taken: int, kernel: tuple[int, int], *, bias: bool = True, **settings) -> Conv2d:
    shift = noise(out, seed=8) if bias else None
    return Conv2d(noise(out, taken, *kernel, seed=7), shift, **settings)


def matrix_of(layer: Conv2d, shape: Shape) -> dense.Matrix:
    """Group by group, entry by entry; circular padding by a matrix that copies the border."""
    kernel = layer.weight.detach().double().numpy()
    _, height, width = shape
    top, left = layer.padding
    if layer.padding_mode == "circular":
        high, wide = height + 2 * top, width + 2 * left
        copies = np.zeros((high, wide, height, width))
        for y in range(high):
            for x in range(wide):
                copies[y, x, (y - top) % height, (x - left) % width] = 1
        copies = np.kron(np.eye(kernel.shape[1]), copies.reshape(high * wide, height * width))
        size, padding = (high, wide), (0, 0)
    else:
        size, padding, copies = (height, width), (top, left), None
    blocks = []
    for part in np.split(kernel, layer.groups):
        # Strides that differ: all places first, then every so many of them.
        full = dense.zero_padded_matrix(part, *size, padding=padding)
        rows, columns = (size[i] + 2 * padding[i] - part.shape[2 + i] + 1 for i in (0, 1))
        block = full.reshape(len(part), rows, columns, -1)[:, :: layer.stride[0], :: layer.stride[1]]
        block = block.reshape(-1, full.shape[1])
        blocks.append(block if copies is None else block @ copies)
    result = np.zeros((sum(map(len, blocks)), sum(block.shape[1] for block in blocks)))
    row = column = 0
    for block in blocks:
        result[row : row + len(block), column : column + block.shape[1]] = block
        row, column = row + len(block), column + block.shape[1]
    return result


class TestConv2d(LinearLayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "plain": (lambda: conv(3, 2, (3, 3)), (2, 5, 4)),
        "padded": (lambda: conv(3, 2, (3, 3), padding=(1, 1)), (2, 4, 5)),
        "strided": (lambda: conv(4, 2, (3, 3), stride=(2, 2), padding=(1, 1)), (2, 6, 6)),
        "uneven stride": (lambda: conv(2, 2, (3, 2), stride=(2, 1), padding=(1, 0)), (2, 5, 4)),
        "circular": (lambda: conv(3, 2, (3, 3), padding=(1, 1), padding_mode="circular"), (2, 4, 3)),
        "circular, even kernel": (lambda: conv(2, 2, (2, 2), padding=(1, 1), padding_mode="circular"), (2, 3, 4)),
        "circular, strided": (
            lambda: conv(2, 1, (3, 3), stride=(2, 2), padding=(1, 1), padding_mode="circular"),
            (1, 5, 4),
        ),
        "groups": (lambda: conv(6, 2, (3, 3), padding=(1, 1), groups=2), (4, 3, 3)),
        "depthwise": (lambda: conv(3, 1, (3, 3), padding=(1, 1), groups=3, bias=False), (3, 4, 4)),
        "1x1": (lambda: conv(5, 3, (1, 1)), (3, 2, 2)),
        "wider than the image": (lambda: conv(2, 1, (5, 5), padding=(2, 2)), (1, 2, 2)),
    }

    def dense(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        return matrix_of(layer, shape)

    def constant(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        outputs, *sizes = layer.output_shape(shape)
        bias = np.zeros(outputs) if layer.bias is None else layer.bias.detach().double().numpy()
        return np.repeat(bias, math.prod(sizes))


@always(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    channels=st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 2)),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    circular=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_the_bound_covers_the_operator_of_torchs_own_module(kernel, channels, size, stride, padding, circular, seed):
    """torch.nn.Conv2d with the same numbers, its matrix by unit vectors, its norm by LAPACK."""
    out, taken, groups = channels
    if any(n + 2 * p < k for n, p, k in zip(size, padding, kernel, strict=True)):
        return
    if circular and any(p > n for n, p in zip(size, padding, strict=True)):
        return
    mode = "circular" if circular else "zeros"
    module = torch.nn.Conv2d(
        taken * groups, out * groups, kernel, stride, padding, groups=groups, padding_mode=mode, dtype=torch.float64
    )
    with torch.no_grad():
        module.weight.copy_(noise(*module.weight.shape, seed=seed))
    layer = Conv2d(
        module.weight.detach(), module.bias.detach(), stride=stride, padding=padding, padding_mode=mode, groups=groups
    )
    shape = (taken * groups, *size)
    unit = torch.eye(math.prod(shape), dtype=torch.float64).reshape(-1, *shape)
    with torch.no_grad():
        images = module(unit) - module.bias.reshape(-1, 1, 1)
        torch.testing.assert_close(layer(unit), module(unit))
    assert layer.output_shape(shape) == images.shape[1:]
    bound = layer.bound(shape)
    assert bound.proved
    assert dense.covers(bound.value, images.flatten(1).numpy())


@pytest.mark.parametrize(
    ("make", "shape", "said"),
    [
        (lambda: conv(2, 2, (3, 3)), (3, 5, 5), "expects 2 channels"),
        (lambda: conv(2, 2, (3, 3)), (2, 25), "expects 2 channels"),
        (lambda: conv(2, 2, (3, 3)), (2, 2, 5), "does not fit into 2x5"),
        (
            lambda: conv(2, 2, (5, 5), padding=(3, 3), padding_mode="circular"),
            (2, 2, 2),
            "circular padding .* does not go",
        ),
    ],
)
def test_shapes_that_do_not_fit(make, shape, said) -> None:
    with pytest.raises(ValueError, match=said):
        make().output_shape(shape)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="'mirror' is not one of zeros, circular, reflect, replicate"):
        conv(2, 2, (3, 3), padding_mode="mirror")
    with pytest.raises(ValueError, match="3 groups"):
        conv(4, 1, (3, 3), groups=3)


def test_the_kind_says_what_matters() -> None:
    assert conv(2, 1, (3, 3), stride=(2, 2), groups=2).kind == "conv 3x3, stride 2, 2 groups"
    assert conv(2, 1, (1, 3), stride=(2, 1), padding_mode="circular").kind == "conv 1x3, stride 2x1, circular"
