from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest
import torch

from lipscope.layers.circular import CircularConv2d
from lipscope.layers.contract import LinearLayer
from lipscope.records import Shape
from tests import dense
from tests.layers.contract import Case, LinearLayerContract, noise


class TestCircularConv2d(LinearLayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "even": (lambda: CircularConv2d(noise(3, 2, 4, 4)), (2, 4, 4)),
        "odd": (lambda: CircularConv2d(noise(2, 3, 3, 3)), (3, 3, 3)),
        "one pixel": (lambda: CircularConv2d(noise(2, 2, 1, 1)), (2, 1, 1)),
    }

    def dense(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        assert isinstance(layer, CircularConv2d)
        return dense.circular_matrix(layer.kernel.detach().double().numpy(), *shape[1:])

    def constant(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        return np.zeros(math.prod(layer.output_shape(shape)))


def test_it_takes_images_of_its_size_alone() -> None:
    with pytest.raises(ValueError, match="2x4x4 only"):
        CircularConv2d(noise(3, 2, 4, 4)).output_shape((2, 5, 5))
    with pytest.raises(ValueError, match="no kernel of a square image"):
        CircularConv2d(torch.zeros(3, 2, 4, 5))
