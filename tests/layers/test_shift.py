from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import Tensor

from lipscope.bounds.rounding import FLOAT64
from lipscope.layers.contract import LipschitzLayer
from lipscope.layers.shift import ShiftAbs
from tests.layers.contract import Case, LayerContract, noise


def rolled(x: Tensor) -> Tensor:
    """The shifts by torch.roll, for 16 channels: two channels of the second half in each direction."""
    moved = x.clone()
    for place, (axis, step) in enumerate(((2, 1), (2, -1), (3, 1), (3, -1))):
        pair = slice(8 + 2 * place, 10 + 2 * place)
        moved[:, pair] = x[:, pair].roll(step, axis)
    return moved


class TestShiftAbs(LayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "shifting": (ShiftAbs, (16, 3, 4)),
        "one row": (ShiftAbs, (16, 1, 3)),
        "too few to shift": (ShiftAbs, (6, 2, 2)),
        "odd channels": (ShiftAbs, (9, 2, 2)),
        "abs alone": (lambda: ShiftAbs(shifting=False), (16, 2, 2)),
    }

    def test_nothing_is_rounded(self, layer: LipschitzLayer, shape) -> None:
        x = noise(2, *shape)
        torch.testing.assert_close(layer(x).norm(), x.norm(), rtol=1e-15, atol=0)
        assert layer.rounding(shape, 3.0, FLOAT64).error == 0.0
        assert layer.bound(shape).value == 1.0


def test_it_is_abs_of_the_first_half_and_rolls() -> None:
    x = noise(2, 16, 4, 6)
    absolute = torch.cat([x[:, :8].abs(), x[:, 8:]], dim=1)
    assert torch.equal(ShiftAbs()(x), rolled(absolute))
    assert torch.equal(ShiftAbs(shifting=False)(x), absolute)


@pytest.mark.parametrize("last", [False, True])
def test_the_gradient_is_that_of_abs_and_rolls(last: bool) -> None:
    x, pull = noise(2, 16, 4, 6), noise(2, 16, 4, 6, seed=1)
    if last:
        x, pull = (t.contiguous(memory_format=torch.channels_last) for t in (x, pull))
    x.requires_grad_()
    (found,) = torch.autograd.grad(ShiftAbs()(x), x, pull)
    (expected,) = torch.autograd.grad(rolled(torch.cat([x[:, :8].abs(), x[:, 8:]], dim=1)), x, pull)
    assert torch.equal(found, expected)
    assert found.stride() == x.stride()
