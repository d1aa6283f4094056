from __future__ import annotations

import math
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from lipscope.layers.batch_norm import BatchNorm
from lipscope.layers.contract import LinearLayer
from lipscope.records import Shape
from tests import dense
from tests.always import always
from tests.layers.contract import Case, LinearLayerContract, noise


def norm(channels: int, *, affine: bool = True, eps: float = 1e-5) -> BatchNorm:
    gamma, beta = (noise(channels, seed=3), noise(channels, seed=4)) if affine else (None, None)
    return BatchNorm(noise(channels, seed=1), noise(channels, seed=2).abs() + 0.1, gamma, beta, eps)


class TestBatchNorm(LinearLayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "image": (lambda: norm(3), (3, 2, 4)),
        "row": (lambda: norm(5), (5,)),
        "no affine part": (lambda: norm(4, affine=False, eps=0.1), (4, 2, 2)),
    }

    @staticmethod
    def scale(layer: BatchNorm) -> dense.Matrix:
        return (layer.gamma.double().numpy()) / np.sqrt(layer.variance.double().numpy() + layer.eps)

    def dense(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        return np.diag(np.repeat(self.scale(layer), math.prod(shape[1:])))

    def constant(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        shift = layer.beta.double().numpy() - layer.mean.double().numpy() * self.scale(layer)
        return np.repeat(shift, math.prod(shape[1:]))

    def test_it_is_torchs_in_eval_mode(self, layer: BatchNorm, shape: Shape) -> None:
        make = torch.nn.BatchNorm2d if len(shape) == 3 else torch.nn.BatchNorm1d
        module = make(shape[0], eps=layer.eps, dtype=torch.float64).eval()
        module.load_state_dict(
            {
                "running_mean": layer.mean, "running_var": layer.variance, "weight": layer.gamma, "bias": layer.beta,
                "num_batches_tracked": torch.tensor(1),
            }
        )  # fmt: skip
        x = noise(3, *shape)
        torch.testing.assert_close(layer(x), module(x), rtol=1e-12, atol=1e-12)


@always(
    gamma=st.floats(-1e6, 1e6).filter(lambda value: abs(value) > 1e-6),
    variance=st.floats(0, 1e6),
    eps=st.floats(1e-8, 1.0),
)
def test_the_bound_is_never_below_the_exact_scale(gamma: float, variance: float, eps: float) -> None:
    """bound^2 (variance + eps) >= gamma^2, in rational arithmetic."""
    one = torch.ones(1, dtype=torch.float64)
    value = BatchNorm(one, variance * one, gamma * one, None, eps).bound((1, 1, 1)).value
    exact = Fraction(gamma) ** 2
    product = Fraction(value) ** 2 * (Fraction(variance) + Fraction(eps))
    assert exact < product <= exact * (1 + Fraction(1, 2**46))


def test_a_variance_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        BatchNorm(torch.zeros(2), torch.tensor([1.0, -0.5]), None, None)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="expects 3 channels"):
        norm(3).output_shape((4, 2, 2))
