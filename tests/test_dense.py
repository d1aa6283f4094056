"""The oracles themselves: they agree with torch and with hand-computed values, and they can say no."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests import dense


@pytest.mark.parametrize(("padding", "stride"), [((0, 0), 1), ((1, 1), 1), ((2, 0), 1), ((1, 1), 2), ((0, 1), 3)])
def test_zero_padded_matrix_is_torchs_convolution(padding: tuple[int, int], stride: int) -> None:
    random = np.random.default_rng(0)
    kernel, image = random.normal(size=(2, 3, 3, 2)), random.normal(size=(3, 5, 6))
    matrix = dense.zero_padded_matrix(kernel, 5, 6, padding, stride)
    theirs = F.conv2d(torch.tensor(image)[None], torch.tensor(kernel), padding=padding, stride=stride)
    np.testing.assert_allclose(matrix @ image.ravel(), theirs.ravel().numpy(), atol=1e-13)


def test_circular_matrix_wraps() -> None:
    matrix = dense.circular_matrix(np.array([1.0, 2.0, 3.0]).reshape(1, 1, 1, 3), 1, 4)
    np.testing.assert_array_equal(matrix, [[1, 2, 3, 0], [0, 1, 2, 3], [3, 0, 1, 2], [2, 3, 0, 1]])


def test_unshuffle_by_hand() -> None:
    image = np.arange(16.0).reshape(1, 4, 4)
    result = (dense.unshuffle_matrix(1, 4, 4, 2) @ image.ravel()).reshape(4, 2, 2)
    np.testing.assert_array_equal(result[1], [[1, 3], [9, 11]])
    np.testing.assert_array_equal(result[2], [[4, 6], [12, 14]])


def test_series_of_a_rotation() -> None:
    turn = np.array([[0.0, -0.5], [0.5, 0.0]])
    expected = [[math.cos(0.5), -math.sin(0.5)], [math.sin(0.5), math.cos(0.5)]]
    np.testing.assert_allclose(dense.series(turn, 20), expected, atol=1e-15)


def test_exactly_covers_decides_at_one_unit_in_the_last_place() -> None:
    matrix = np.array([[3.0, 0.0], [4.0, 0.0], [0.0, 4.5]])
    assert dense.exactly_covers(5.0, matrix)
    assert not dense.exactly_covers(math.nextafter(5.0, 0), matrix)
    assert dense.exactly_covers(5.0, matrix * (1 + 0j))
    assert not dense.exactly_covers(0.0, np.array([[5e-324]]))
    assert dense.exactly_covers(0.0, np.zeros((2, 2)))
