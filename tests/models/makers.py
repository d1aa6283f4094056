"""Small networks and files of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from lipscope.models.composition import LipschitzNet
from lipscope.models.lipconvnet import LipConvnetConfig
from lipscope.models.stored import save_model


def small_config(**changes: Any) -> LipConvnetConfig:
    return LipConvnetConfig(**{"channels": 2, "dataset": "synthetic", **changes})


def small_net(seed: int = 0, **changes: Any) -> LipschitzNet:
    """A frozen network with random orthogonal weights, biases and angles."""
    torch.manual_seed(seed)
    net = small_config(**changes).build()
    net.make_trainable()
    net.train()(torch.rand(2, *net.input_shape))
    net = net.frozen()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if "theta" in name:
                parameter.uniform_(0, 6)
            elif name.endswith("bias"):
                parameter.normal_(std=0.1)
    return net


def small_file(folder: Path, seed: int = 0, **changes: Any) -> Path:
    path = folder / "model.safetensors"
    save_model(small_net(seed, **changes), path, small_config(**changes).to_json(), {"seed": seed})
    return path
