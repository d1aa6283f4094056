from __future__ import annotations

import math

import pytest
import torch

from lipscope.bounds.rounding import FLOAT64
from lipscope.commands.train import train_command
from lipscope.layers.convolutions import CONVOLUTIONS
from tests.layers.contract import noise


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize(("kernel_size", "stride"), [(3, 1), (3, 2), (1, 2), (1, 1)])
def test_every_family_builds_every_convolution_of_a_lipconvnet(name: str, kernel_size: int, stride: int) -> None:
    family = CONVOLUTIONS[name]
    orthogonal = name not in ("aol", "liresnet", "cpl", "sll", "sandwich")
    layer = family.build(3, 8, kernel_size, stride, 4, 12)
    assert layer.kind.startswith(family.title)
    assert layer.kind.endswith(", stride 2") == (stride == 2)
    assert (layer.in_channels, layer.out_channels, layer.stride) == (3, 8, stride)
    shape = layer.output_shape((3, 4, 4))
    assert shape == (8, 4 // stride, 4 // stride)
    assert layer.gradient_norm_preserving == (orthogonal and math.prod(shape) <= 3 * 4 * 4)
    stored = {key: value.shape for key, value in layer.state_dict().items()}
    assert set(stored) == {"kernel", "bias"}
    x = noise(2, 3, 4, 4, dtype=torch.float32)
    layer.make_trainable(torch.Generator().manual_seed(0))
    layer(x).square().sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())
    layer.eval().freeze()
    assert {key: value.shape for key, value in layer.state_dict().items()} == stored
    bound = layer.bound((3, 4, 4))
    assert bound.proved
    assert (1 - 1e-5 if name != "aol" else 0.4) < bound.value <= 1 + 1e-12
    assert math.isfinite(layer.rounding((3, 4, 4), 10.0, FLOAT64).error)


def test_the_command_names_every_family() -> None:
    (option,) = [parameter for parameter in train_command.params if parameter.name == "conv"]
    assert all(name in option.help for name in CONVOLUTIONS)
