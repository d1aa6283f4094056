from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
import torch

from lipscope.errors import UsageError
from lipscope.layers.activations import ACTIVATIONS
from lipscope.layers.convolutions import CONVOLUTIONS
from lipscope.layers.last_layers import HEADS
from lipscope.layers.soc import SOCConv2d
from lipscope.models.lipconvnet import LipConvnetConfig


@pytest.mark.parametrize("blocks", [1, 2, 4])
@pytest.mark.parametrize("channels", [2, 6])
def test_the_stages_of_the_paper(blocks: int, channels: int) -> None:
    """n blocks a stage; the last halves the resolution and doubles the planes, in the fifth with a 1x1 kernel."""
    net = LipConvnetConfig(blocks=blocks, channels=channels).build()
    convolutions = [(layer, shape) for _, layer, shape in net.layers() if isinstance(layer, SOCConv2d)]
    assert len(convolutions) == 5 * blocks
    side, current, planes = 32, 3, channels
    for i, (layer, shape) in enumerate(convolutions):
        last = i % blocks == blocks - 1
        assert shape == (current, side, side)
        assert layer.stride == (2 if last else 1)
        assert layer.out_channels == (2 * planes if last else planes)
        assert layer.kernel.shape[-1] == (1 if i == 5 * blocks - 1 else 3)
        assert layer.terms == 12
        current = layer.out_channels
        if last:
            side, planes = side // 2, 2 * planes
    assert (side, current) == (1, 32 * channels)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("conv", CONVOLUTIONS)
def test_every_combination_builds_and_runs(activation: str, head: str, conv: str) -> None:
    config = LipConvnetConfig(blocks=2, channels=4, activation=activation, head=head, classes=7, conv=conv)
    net = config.build().eval()
    assert net(torch.rand(2, 3, 32, 32)).shape == (2, 7)
    shape = net.input_shape
    for _, layer, takes in net.layers():
        assert takes == shape
        shape = layer.output_shape(shape)
    assert shape == (7,)


@pytest.mark.parametrize("conv", CONVOLUTIONS)
def test_larger_images(conv: str) -> None:
    net = LipConvnetConfig(blocks=2, channels=2, image_size=64, conv=conv).build().eval()
    assert net(torch.rand(1, 3, 64, 64)).shape == (1, 10)
    assert net.head.weight.shape == (10, 4 * 64)


def test_the_paper_s_width_has_1024_features() -> None:
    with torch.device("meta"):
        net = LipConvnetConfig().build()
    assert net.head.weight.shape == (10, 1024)


@pytest.mark.parametrize(
    "changes",
    [
        {"activation": "relu"}, {"head": "softmax"}, {"conv": "relu"}, {"activation": None}, {"activation": []},
        {"blocks": 0}, {"blocks": 65}, {"blocks": 1.0}, {"blocks": True}, {"blocks": "1"}, {"blocks": None},
        {"channels": 6, "activation": "groupsort4"},
        {"channels": 0}, {"channels": 3}, {"channels": -2}, {"channels": 10**9}, {"channels": math.nan},
        {"classes": 1}, {"classes": 10**6}, {"terms": 0}, {"terms": 65}, {"image_size": 33}, {"image_size": 0},
        {"mean": (0.0,)}, {"std": (1.0, 1.0, 0.0)}, {"std": (1.0, 1.0, -1.0)}, {"std": (1.0, 1.0, math.nan)},
        {"mean": (), "std": ()},
    ],
    ids=repr,
)  # fmt: skip
def test_what_cannot_be_built_is_refused_by_name(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        LipConvnetConfig(**changes)
    name = "std" if "mean" in changes or "std" in changes else next(iter(changes))
    assert name in caught.value.what


def test_the_stored_configuration_comes_back() -> None:
    config = LipConvnetConfig(blocks=3, channels=6, activation="hh2", head="orthogonal", classes=100, std=(0.1, 0.2, 1))
    assert LipConvnetConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert LipConvnetConfig.from_json({}) == LipConvnetConfig()


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(UsageError, match="'dropout'"):
        LipConvnetConfig.from_json({"dropout": 0.5})


def test_the_title_names_what_distinguishes_it() -> None:
    config = LipConvnetConfig(blocks=2, channels=16, activation="hh1", head="orthogonal")
    assert config.title == "LipConvnet-10 (16 channels, SOC, HH1, orthogonal head)"
    titles = {dataclasses.replace(config, activation=a, head=h).title for a in ACTIVATIONS for h in HEADS}
    assert len(titles) == len(ACTIVATIONS) * len(HEADS)
    named = {conv: dataclasses.replace(config, conv=conv).title for conv in CONVOLUTIONS}
    assert named["cayley"] == "LipConvnet-10 (16 channels, Cayley, HH1, orthogonal head)"
    assert named["bcop"] == "LipConvnet-10 (16 channels, BCOP, HH1, orthogonal head)"
    assert len(set(named.values())) == len(CONVOLUTIONS)
