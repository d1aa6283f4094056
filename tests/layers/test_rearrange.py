from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest
import torch

from lipscope.layers.contract import LinearLayer
from lipscope.layers.padding import Pad
from lipscope.layers.rearrange import (
    ChannelShuffle,
    Flip,
    NearestUpsample,
    Permute,
    PixelShuffle,
    PixelUnshuffle,
    Reshape,
    Roll,
    Slice,
    Take,
)
from lipscope.layers.scale import ScaleShift
from lipscope.layers.transposed import ConvTranspose2d
from lipscope.records import Shape
from tests import dense
from tests.layers.contract import Case, LinearLayerContract, noise


def sent(places: np.ndarray, inputs: int) -> dense.Matrix:
    """The matrix whose output k is the input with the number places[k]; none where that is negative."""
    flat = places.ravel()
    matrix = np.zeros((len(flat), inputs))
    rows = np.nonzero(flat >= 0)[0]
    matrix[rows, flat[rows]] = 1
    return matrix


def shuffled(x: np.ndarray, groups: int) -> np.ndarray:
    return x.reshape(groups, len(x) // groups, *x.shape[1:]).swapaxes(0, 1).reshape(x.shape)


def blocks(x: np.ndarray, r: int) -> np.ndarray:
    channels, height, width = x.shape
    return (
        x.reshape(channels, height // r, r, width // r, r).transpose(0, 2, 4, 1, 3).reshape(-1, height // r, width // r)
    )


def unblocked(x: np.ndarray, r: int) -> np.ndarray:
    channels, height, width = x.shape
    split = x.reshape(channels // r**2, r, r, height, width).transpose(0, 3, 1, 4, 2)
    return split.reshape(-1, height * r, width * r)


TWINS = {
    "reshape": (lambda: Reshape((4, 6)), (2, 3, 4), lambda x: x.reshape(4, 6)),
    "permute": (lambda: Permute((2, 0, 1)), (2, 3, 4), lambda x: x.transpose(2, 0, 1)),
    "unshuffle": (lambda: PixelUnshuffle(2), (2, 4, 2), lambda x: blocks(x, 2)),
    "shuffle": (lambda: PixelShuffle(2), (8, 1, 2), lambda x: unblocked(x, 2)),
    "channels": (lambda: ChannelShuffle(3), (6, 2, 1), lambda x: shuffled(x, 3)),
    "flip": (lambda: Flip((0, 2)), (2, 2, 3), lambda x: x[::-1, :, ::-1]),
    "roll": (lambda: Roll((1, -1), (1, 2)), (2, 3, 3), lambda x: np.roll(x, (1, -1), (1, 2))),
    "slice": (lambda: Slice(1, 1, 4, 2), (2, 4, 2), lambda x: x[:, 1:4:2]),
    "take": (lambda: Take(1, (3, 0, 3, 3)), (2, 4, 2), lambda x: x[:, [3, 0, 3, 3]]),
    "take each once": (lambda: Take(0, (1, 0)), (3, 2, 1), lambda x: x[[1, 0]]),
    "upsample": (lambda: NearestUpsample((2, 1)), (2, 2, 3), lambda x: x.repeat(2, axis=1)),
    "pad": (
        lambda: Pad(((1, 0), (2, -1))),
        (2, 2, 3),
        lambda x: np.pad(x, ((0, 0), (1, 0), (2, 0)), constant_values=-1)[:, :, :-1],
    ),
    "pad reflect": (
        lambda: Pad(((1, 1), (0, 2)), "reflect"),
        (2, 3, 3),
        lambda x: np.pad(x, ((0, 0), (1, 1), (0, 2)), "reflect"),
    ),
    "pad replicate": (
        lambda: Pad(((2, 0), (0, 0)), "replicate"),
        (2, 3, 2),
        lambda x: np.pad(x, ((0, 0), (2, 0), (0, 0)), "edge"),
    ),
    "pad circular": (
        lambda: Pad(((1, 2), (3, 0)), "circular"),
        (1, 2, 3),
        lambda x: np.pad(x, ((0, 0), (1, 2), (3, 0)), "wrap"),
    ),
    "pad channels": (
        lambda: Pad(((0, 3), (0, 0), (0, 0))),
        (2, 2, 2),
        lambda x: np.pad(x, ((0, 3), (0, 0), (0, 0)), constant_values=-1),
    ),
}


class TestRearrange(LinearLayerContract):
    cases: ClassVar[dict[str, Case]] = {name: (make, shape) for name, (make, shape, _) in TWINS.items()}

    @pytest.fixture
    def twin(self, case: str):
        return TWINS[case][2]

    @pytest.fixture(autouse=True)
    def remember(self, case: str) -> None:
        self.case = case

    def dense(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        numbers = np.arange(math.prod(shape)).reshape(shape)
        return sent(TWINS[self.case][2](numbers), math.prod(shape))

    def constant(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        return np.zeros(math.prod(layer.output_shape(shape)))


class TestScaleShift(LinearLayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "channels": (lambda: ScaleShift(noise(3, 1, 1), noise(3, 1, 1, seed=1)), (3, 2, 2)),
        "numbers": (lambda: ScaleShift(noise(5), None), (5,)),
        "one": (lambda: ScaleShift(None, noise(1, 1, 1)), (2, 2, 3)),
    }

    def dense(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        scale = np.ones(1) if layer.scale is None else layer.scale.detach().numpy()
        return np.diag(np.broadcast_to(scale, shape).ravel())

    def constant(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        shift = np.zeros(1) if layer.shift is None else layer.shift.detach().numpy()
        return np.broadcast_to(shift, shape).ravel()


class TestConvTranspose2d(LinearLayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "plain": (lambda: ConvTranspose2d(noise(2, 3, 3, 3), noise(3)), (2, 3, 2)),
        "strided": (
            lambda: ConvTranspose2d(noise(2, 2, 3, 3), stride=(2, 2), padding=(1, 1), output_padding=(1, 1)),
            (2, 2, 3),
        ),
        "groups": (lambda: ConvTranspose2d(noise(4, 1, 2, 2), noise(2), stride=(2, 2), groups=2), (4, 2, 2)),
    }

    def dense(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        """Every input adds its kernel at stride times its place, and the padding is cut off."""
        weight, groups = layer.weight.detach().numpy(), layer.groups
        channels = shape[0]
        out, *size = layer.output_shape(shape)
        matrix = np.zeros((out, *size, *shape))
        for i, y, x in np.ndindex(*shape):
            group = i // (channels // groups)
            for o, a, b in np.ndindex(*weight.shape[1:]):
                row, column = y * layer.stride[0] + a - layer.padding[0], x * layer.stride[1] + b - layer.padding[1]
                if 0 <= row < size[0] and 0 <= column < size[1]:
                    matrix[group * weight.shape[1] + o, row, column, i, y, x] += weight[i, o, a, b]
        return matrix.reshape(out * size[0] * size[1], -1)

    def constant(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        out, *size = layer.output_shape(shape)
        bias = np.zeros(out) if layer.bias is None else layer.bias.detach().numpy()
        return np.repeat(bias, math.prod(size))


def test_a_padded_constant_is_no_part_of_the_linear_map() -> None:
    layer = Pad(((1, 1),), value=2.0)
    assert layer(torch.ones(1, 1)).tolist() == [[2.0, 1.0, 2.0]]
    assert layer.linear(torch.ones(1, 1)).tolist() == [[0.0, 1.0, 0.0]]
    assert layer.bound((1,)).value == 1.0


def test_what_does_not_fit_is_refused() -> None:
    for layer, shape in (
        (Reshape((4, 6)), (5,)),
        (Permute((1, 0)), (2, 2, 2)),
        (PixelUnshuffle(2), (2, 3, 2)),
        (PixelShuffle(2), (3, 2, 2)),
        (ChannelShuffle(3), (4,)),
        (Slice(1, 0, 5), (2, 4)),
        (Pad(((3, 0),), "reflect"), (3,)),
        (ScaleShift(torch.ones(3, 1, 1), None), (2, 2, 2)),
        (ConvTranspose2d(noise(2, 3, 3, 3)), (3, 2, 2)),
    ):
        with pytest.raises((ValueError, RuntimeError)):
            layer.output_shape(shape)
