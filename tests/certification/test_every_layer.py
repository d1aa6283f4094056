"""No layer that a training or a description can name is left without a bound on its rounding."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest
import torch

from lipscope import layers
from lipscope.bounds.rounding import FLOAT64
from lipscope.certification.budget import error_budget
from lipscope.layers.contract import LipschitzLayer
from lipscope.layers.convolutions import CONVOLUTIONS
from lipscope.layers.last_layers import HEADS
from lipscope.layers.orthogonal import LinearConv2d
from lipscope.models.composition import LipschitzNet
from lipscope.models.registry import ARCHITECTURES, build
from tests.models.makers import small_net

SMALL = {
    "lipconvnet": {"channels": 2},
    "resnet": {"channels": 2, "image_size": 8},
    "shiftnet": {"widths": [4, 8], "blocks": [2, 2], "image_size": 8},
}


def every_layer() -> list[type[LipschitzLayer]]:
    modules = [
        importlib.import_module(f"lipscope.layers.{module.name}") for module in pkgutil.iter_modules(layers.__path__)
    ]
    found = {one for module in modules for one in vars(module).values() if inspect.isclass(one)}
    return sorted(
        (one for one in found if issubclass(one, LipschitzLayer) and not inspect.isabstract(one)),
        key=lambda one: one.__name__,
    )


@pytest.mark.parametrize("layer", every_layer(), ids=lambda layer: layer.__name__)
def test_it_says_how_it_rounds(layer: type[LipschitzLayer]) -> None:
    assert layer.rounding is not LipschitzLayer.rounding
    if issubclass(layer, LinearConv2d):
        of_the_linear_part = layer.linear_rounding is not LinearConv2d.linear_rounding
        assert of_the_linear_part or layer.rounding is not LinearConv2d.rounding


def holds(net: LipschitzNet) -> bool:
    """Whether the errors of margins are bounded, and by little as distances in pixel space go."""
    budget, pairs = error_budget(net, FLOAT64)
    constants = net.head.pair_bounds() * net.lipschitz_bound().value
    apart = ~torch.eye(len(pairs), dtype=torch.bool)
    return budget.margin < torch.inf and float((pairs[apart] / constants[apart]).max()) < 1e-6


@pytest.mark.parametrize("family", CONVOLUTIONS)
@pytest.mark.parametrize("activation", ["maxmin", "hh1", "hh2", "groupsort4"])
@pytest.mark.parametrize("head", HEADS)
def test_nets_of_every_part_are_certified_soundly(family: str, activation: str, head: str) -> None:
    assert holds(small_net(1, channels=4, conv=family, activation=activation, head=head))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_is_certified_soundly(name: str) -> None:
    torch.manual_seed(2)
    net = build({"architecture": name, "dataset": "synthetic", **SMALL[name]}, "here")
    net.make_trainable()
    net.train()(torch.rand(4, *net.input_shape))
    assert holds(net.frozen())
