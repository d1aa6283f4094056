from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lipscope.errors import UsageError
from lipscope.layers.pointwise import PointwiseConv2d
from lipscope.models.composition import LipschitzNet
from lipscope.models.registry import build, configuration
from lipscope.models.shiftnet import ShiftNetConfig
from lipscope.models.stored import load_model, save_model

SMALL = ShiftNetConfig(widths=(8, 16), blocks=(2, 2), stem=2, classes=3, image_size=8)


def frozen(config: ShiftNetConfig) -> LipschitzNet:
    torch.manual_seed(0)
    net = config.build()
    net.make_trainable()
    return net.frozen()


def plainly(net: LipschitzNet, x: Tensor) -> Tensor:
    """SMALL by numpy, from the state dict alone: patches cut by hand, channels in order (c, row, column)."""
    state = {name: value.double().numpy() for name, value in net.state_dict().items()}

    def block(y: np.ndarray, name: str, size: int, shifting: bool) -> np.ndarray:
        images, channels, height, width = y.shape
        cut = y.reshape(images, channels, height // size, size, width // size, size).transpose(0, 2, 4, 1, 3, 5)
        z = cut.reshape(images, height // size, width // size, -1) @ state[f"{name}.matrix.kernel"][:, :, 0, 0].T
        z = (z + state[f"{name}.matrix.bias"]).transpose(0, 3, 1, 2)
        half = z.shape[1] // 2
        z[:, :half] = abs(z[:, :half])
        moved = z.copy()
        each = half // 4
        for place, (axis, step) in enumerate(((2, 1), (2, -1), (3, 1), (3, -1)) if shifting else ()):
            channel = slice(half + place * each, half + (place + 1) * each)
            moved[:, channel] = np.roll(z[:, channel], step, axis)
        return moved

    y = (x.double().numpy() - np.array(SMALL.mean).reshape(-1, 1, 1)) / np.array(SMALL.std).reshape(-1, 1, 1)
    y = block(block(y, "stage1.block1", 2, True), "stage1.block2", 1, False)
    y = block(block(y, "stage2.block1", 2, True), "stage2.block2", 1, False)
    return torch.from_numpy(y.reshape(len(y), -1) @ state["head.weight"].T + state["head.bias"])


def test_it_is_the_network_of_its_weights():
    net, x = frozen(SMALL), torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(net(x.double()), plainly(net, x), rtol=0, atol=1e-10)


def test_it_is_proved_and_goes_through_a_file(tmp_path):
    net = frozen(SMALL)
    assert 1 - 1e-5 < net.lipschitz_bound().value * min(SMALL.std) <= 1 + 1e-12
    save_model(net, tmp_path / "model.safetensors", SMALL.to_json(), {})
    loaded = load_model(tmp_path / "model.safetensors")
    assert configuration(loaded.header.config) == SMALL
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(loaded.net(x), net(x))


def test_shapes_of_the_default():
    config = ShiftNetConfig()
    with torch.device("meta"):
        net = build(config.to_json(), "here")
    shapes = [shape for _, layer, shape in net.layers() if isinstance(layer, PointwiseConv2d)]
    assert shapes == [
        *((3, 32, 32), (64, 8, 8), (64, 8, 8)),
        *((64, 8, 8), (128, 4, 4), (128, 4, 4)),
        *((128, 4, 4), (256, 2, 2), (256, 2, 2)),
    ]
    assert config.title == "ShiftNet-9 (widths 64-128-256, LLN)"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"widths": []}, "widths"),
        ({"widths": [8, 9]}, "even"),
        ({"widths": [8]}, "same stages"),
        ({"blocks": [1, 0]}, "blocks"),
        ({"blocks": [1, True]}, "blocks"),
        ({"stem": 3}, "image_size"),
        ({"classes": 1}, "classes"),
        ({"std": [0.0, 1.0, 1.0]}, "std"),
        ({"depth": 3}, "unknown configuration key"),
    ],
)
def test_what_cannot_be_built_is_refused(change, word):
    with pytest.raises(UsageError, match=word):
        ShiftNetConfig.from_json({**SMALL.to_json(), **change})
