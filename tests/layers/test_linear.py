from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch

from lipscope.layers.contract import LinearLayer
from lipscope.layers.linear import Linear
from lipscope.records import Shape
from tests import dense
from tests.layers.contract import Case, LinearLayerContract, noise


class TestLinear(LinearLayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "wide": (lambda: Linear(noise(3, 7, seed=5), noise(3, seed=6)), (7,)),
        "tall": (lambda: Linear(noise(6, 2, seed=5)), (2,)),
        "single precision": (lambda: Linear(noise(4, 4, seed=5).float(), noise(4, seed=6).float()), (4,)),
        "one number": (lambda: Linear(noise(1, 1, seed=5)), (1,)),
    }

    def dense(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        return layer.weight.detach().double().numpy()

    def constant(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        return np.zeros(len(layer.weight)) if layer.bias is None else layer.bias.detach().double().numpy()


@pytest.mark.parametrize("shape", [(6,), (7, 1, 1), (7, 1)])
def test_other_shapes_are_refused(shape: Shape) -> None:
    with pytest.raises(ValueError, match="expects 7 features"):
        Linear(torch.zeros(3, 7)).output_shape(shape)
