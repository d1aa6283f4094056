from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from lipscope.bounds.rounding import FLOAT32
from lipscope.layers.conv2d import Conv2d
from lipscope.layers.linear import Linear
from lipscope.layers.potential_step import PotentialStep
from lipscope.records import Shape
from tests import dense
from tests.layers.contract import Case, LayerContract, noise


def step(scale: float, *shape: int, **keys) -> PotentialStep:
    """With a kernel of random numbers, or a matrix, and a bias."""
    weight, bias = scale * noise(*shape, seed=1), noise(shape[0], seed=2)
    return PotentialStep(Linear(weight, bias) if len(shape) == 2 else Conv2d(weight, bias, **keys))


def matrix(layer: PotentialStep, shape: Shape) -> np.ndarray:
    """G, column by column, from torch's own functions."""
    identity = torch.eye(int(np.prod(shape)), dtype=torch.float64).reshape(-1, *shape)
    inner = layer.inner
    if isinstance(inner, Linear):
        found = torch.nn.functional.linear(identity, inner.weight)
    else:
        (top, _), (left, _) = inner.sides
        found = torch.conv2d(identity, inner.weight, None, 1, (top, left), inner.dilation, inner.groups)
    return found.detach().flatten(1).mT.numpy()


class TestPotentialStep(LayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "small": (lambda: step(0.05, 6, 2, 3, 3, padding=(1, 1)), (2, 4, 5)),
        "large": (lambda: step(1.0, 3, 2, 3, 3, padding=(1, 1)), (2, 4, 4)),
        "groups, dilated": (lambda: step(0.3, 4, 1, 3, 3, padding=(2, 2), dilation=(2, 2), groups=2), (2, 5, 5)),
        "matrix": (lambda: step(0.5, 7, 4), (4,)),
    }

    def test_it_is_its_formula_and_the_bound_that_of_the_dense_matrix(self, layer: PotentialStep, shape: Shape) -> None:
        g, x = matrix(layer, shape), noise(5, *shape)
        bias = layer.inner.bias.detach().numpy().repeat(len(g) // len(layer.inner.bias))
        flat = x.flatten(1).numpy()
        wanted = flat - 2 * np.maximum(flat @ g.T + bias, 0) @ g
        np.testing.assert_allclose(layer(x).flatten(1).detach().numpy(), wanted, rtol=0, atol=1e-12 * abs(wanted).max())
        exact = max(1.0, 2 * dense.norm(g) ** 2 - 1)
        assert exact * (1 - dense.ROUNDING) <= layer.bound(shape).value <= 2 * exact

    def test_the_rounding_error_of_float32_is_covered(self, layer: PotentialStep, shape: Shape) -> None:
        for seed in range(10):
            x: Tensor = noise(1, *shape, seed=seed).float() * 10.0 ** (seed % 5 - 2)
            claimed = layer.rounding(shape, float(x.double().norm()) * (1 + 1e-12), FLOAT32)
            exact = layer(x.double())
            assert float((layer(x).double() - exact).norm()) <= claimed.error
            assert float(exact.norm()) <= claimed.norm


@pytest.mark.parametrize(
    "keys",
    [{"padding": (1, 0), "stride": (2, 2)}, {"padding": ((1, 0), (1, 1))}, {"padding_mode": "circular"}],
    ids=" ".join,
)
def test_other_convolutions_are_refused(keys: dict) -> None:
    with pytest.raises(ValueError, match="zero padding"):
        step(1.0, 2, 2, 3, 3, **keys)


def test_a_norm_whose_square_overflows_proves_nothing() -> None:
    step = PotentialStep(Linear(torch.full((2, 2), 1e200, dtype=torch.float64)))
    assert step.bound((2,)).value == math.inf
