from __future__ import annotations

import math
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from lipscope.layers.contract import LinearLayer
from lipscope.layers.reshape import Flatten, Normalize, pad_channels, pixel_unshuffle
from lipscope.records import Shape
from tests import dense
from tests.always import always
from tests.layers.contract import Case, LinearLayerContract, noise

CIFAR = ((0.4914, 0.4822, 0.4465), (0.2507, 0.2507, 0.2507))


class TestNormalize(LinearLayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "cifar": (lambda: Normalize(*CIFAR), (3, 2, 4)),
        "uneven": (lambda: Normalize((0.0, -1.0), (0.1, 3.0)), (2, 3, 3)),
        "one pixel": (lambda: Normalize((0.5,), (0.25,)), (1, 1, 1)),
    }

    def dense(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        _, std = layer.constants
        return np.diag(np.repeat(1 / np.array(std), shape[1] * shape[2]))

    def constant(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        mean, std = layer.constants
        return np.repeat(-np.array(mean) / np.array(std), shape[1] * shape[2])


@always(std=st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=4))
def test_normalisation_is_never_bounded_below_the_exact_reciprocal(std: list[float]) -> None:
    layer = Normalize([0.0] * len(std), std)
    value = layer.bound((len(std), 1, 1)).value
    exact = 1 / Fraction(min(std))
    assert exact <= Fraction(value) <= exact * (1 + Fraction(1, 2**50))
    assert layer.does_nothing == (set(std) == {1.0})
    assert value == 1.0 if layer.does_nothing else Fraction(value) > exact


def test_the_constants_survive_conversion_of_the_weights() -> None:
    layer = Normalize(*CIFAR)
    assert layer.to(torch.bfloat16).bound((3, 2, 2)).value >= 1 / 0.2507
    assert not layer.state_dict()


@pytest.mark.parametrize("std", [(0.0,), (-1.0,), (math.nan,), (math.inf,), (1.0, 1.0)])
def test_impossible_deviations_are_refused(std: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="std must be positive"):
        Normalize((0.0,), std)


@pytest.mark.parametrize("shape", [(2, 4, 4), (4,), (1, 3)])
def test_normalisation_refuses_other_shapes(shape: Shape) -> None:
    with pytest.raises(ValueError, match="expects 3 channels"):
        Normalize(*CIFAR).output_shape(shape)


@pytest.mark.parametrize("shape", [(3,), (3, 4), (3, 2, 2, 2)])
def test_normalisation_takes_any_number_of_axes_after_the_channels(shape: Shape) -> None:
    layer, x = Normalize(*CIFAR), noise(2, *shape)
    mean, std = (np.array(numbers).reshape(-1, *([1] * (len(shape) - 1))) for numbers in CIFAR)
    assert layer.output_shape(shape) == shape
    np.testing.assert_allclose(layer(x).numpy(), (x.numpy() - mean) / std, rtol=1e-15)


class TestFlatten(LinearLayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "image": (Flatten, (3, 2, 4)),
        "one pixel": (Flatten, (5, 1, 1)),
        "row": (Flatten, (6,)),
    }
    preservation = 0.0

    def dense(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        return np.eye(math.prod(shape))

    def constant(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        return np.zeros(math.prod(shape))

    def test_the_bound_is_exactly_one(self, layer: LinearLayer, shape: Shape) -> None:
        assert layer.bound(shape).value == 1.0


@pytest.mark.parametrize("shape", [(3, 4, 6), (1, 2, 2), (2, 2, 8)])
def test_pixel_unshuffle_orders_channels_by_channel_row_column(shape: Shape) -> None:
    x = noise(2, *shape)
    expected = x.flatten(1).numpy() @ dense.unshuffle_matrix(*shape, 2).T
    np.testing.assert_array_equal(pixel_unshuffle(x, 2).flatten(1), expected)
    assert pixel_unshuffle(x, 1) is x


def test_padding_appends_zero_channels() -> None:
    x = noise(2, 3, 4, 5)
    padded = pad_channels(x, 7)
    assert padded.shape == (2, 7, 4, 5)
    assert torch.equal(padded[:, :3], x)
    assert not padded[:, 3:].any()
    assert pad_channels(x, 3) is x
    assert pad_channels(x, 2) is x
