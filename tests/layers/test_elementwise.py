from __future__ import annotations

import math
from typing import ClassVar

import pytest
import torch

from lipscope.layers.contract import LipschitzLayer
from lipscope.layers.elementwise import LeakyReLU, ReLU
from tests.layers.contract import Case, LayerContract, noise


class TestReLU(LayerContract):
    cases: ClassVar[dict[str, Case]] = {"image": (ReLU, (3, 4, 4)), "row": (ReLU, (9,))}

    def test_it_is_torchs(self, layer: LipschitzLayer, shape) -> None:
        x = noise(4, *shape)
        assert torch.equal(layer(x), torch.nn.ReLU()(x))
        assert layer.bound(shape).value == 1.0


class TestLeakyReLU(LayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "default": (lambda: LeakyReLU(0.01), (3, 4, 4)),
        "steep": (lambda: LeakyReLU(0.9), (9,)),
        "negative": (lambda: LeakyReLU(-0.5), (9,)),
        "absolute value": (lambda: LeakyReLU(-1.0), (9,)),
    }

    def test_it_is_torchs(self, layer: LipschitzLayer, shape) -> None:
        x = noise(4, *shape)
        assert torch.equal(layer(x), torch.nn.LeakyReLU(layer.slope)(x))
        assert layer.bound(shape).value == 1.0


@pytest.mark.parametrize("slope", [1.0001, -2.0, math.inf, math.nan])
def test_slopes_that_expand_are_refused(slope: float) -> None:
    with pytest.raises(ValueError, match="between -1 and 1"):
        LeakyReLU(slope)
