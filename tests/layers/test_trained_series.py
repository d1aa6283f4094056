from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lipscope.layers.trained_series import trained_series
from tests.layers.contract import noise


def plain(x: Tensor, operator: Tensor, terms: int, outputs: int) -> Tensor:
    """The same, differentiated step by step by torch."""
    total = term = x
    for k in range(1, terms + 1):
        conv = operator.ndim == 4
        term = F.conv2d(term, operator, padding=operator.shape[-1] // 2) if conv else F.linear(term, operator)
        term = term / k
        total = total + term
    return total[:, :outputs]


CASES = {
    "3x3": ((2, 4, 5, 3), (4, 4, 3, 3)),
    "1x1": ((3, 4, 2, 2), (4, 4, 1, 1)),
    "5x5": ((2, 2, 3, 4), (2, 2, 5, 5)),
    "matrix": ((5, 6), (6, 6)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("terms", [1, 2, 5])
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("of_images", [True, False])
def test_values_and_gradients_are_those_of_the_plain_series(
    name: str, terms: int, outputs: int, of_images: bool
) -> None:
    shape, operator_shape = CASES[name]
    found = []
    for function in (trained_series, plain):
        # A kernel that is not skew: nothing is assumed of it.
        x = noise(*shape).requires_grad_(of_images)
        operator = (0.4 * noise(*operator_shape, seed=1)).requires_grad_(True)
        y = function(x, operator, terms, outputs)
        wanted = (x, operator) if of_images else (operator,)
        found.append((y, *torch.autograd.grad((y * noise(*y.shape, seed=2)).sum(), wanted)))
    for mine, truth in zip(*found, strict=True):
        torch.testing.assert_close(mine, truth, rtol=1e-12, atol=1e-12)


def test_images_alone_can_be_differentiated() -> None:
    x, operator = noise(2, 3, 4, 4).requires_grad_(True), 0.3 * noise(3, 3, 3, 3)
    (mine,) = torch.autograd.grad(trained_series(x, operator, 4, 2).square().sum(), x)
    (truth,) = torch.autograd.grad(plain(x, operator, 4, 2).square().sum(), x)
    torch.testing.assert_close(mine, truth, rtol=1e-12, atol=1e-12)


def test_bfloat16_stays_bfloat16() -> None:
    x, operator = noise(2, 4, 3, 3).bfloat16().requires_grad_(True), (0.2 * noise(4, 4, 3, 3)).bfloat16()
    operator.requires_grad_(True)
    y = trained_series(x, operator, 5, 4)
    gradients = torch.autograd.grad(y.float().square().sum(), (x, operator))
    assert {y.dtype, *(gradient.dtype for gradient in gradients)} == {torch.bfloat16}
    exact = torch.autograd.grad(plain(x.double(), operator.double(), 5, 4).square().sum(), (x, operator))
    for found, truth in zip(gradients, exact, strict=True):
        assert float((found.double() - truth.double()).norm() / truth.double().norm()) < 0.05
