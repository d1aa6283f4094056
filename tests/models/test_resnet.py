from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lipscope.data
from lipscope.cli import run
from lipscope.errors import UsageError
from lipscope.layers.batch_norm import BatchNorm
from lipscope.layers.convolutions import CONVOLUTIONS
from lipscope.layers.orthogonal import OrthogonalConv2d
from lipscope.models.composition import LipschitzNet
from lipscope.models.registry import build, configuration
from lipscope.models.resnet import ResNetConfig
from lipscope.models.stored import load_model, save_model
from tests.dense import unshuffle_matrix, zero_padded_matrix

SMALL = ResNetConfig(channels=2, classes=4, image_size=8, terms=8)


def trained_like(config: ResNetConfig) -> LipschitzNet:
    """Random weights, with running statistics and scales that are not the initial ones."""
    torch.manual_seed(5)
    net = config.build()
    net.make_trainable()
    net.train()
    net(torch.rand(16, 3, config.image_size, config.image_size))
    frozen = net.frozen()
    generator = torch.Generator().manual_seed(1)
    for module in frozen.modules():
        if isinstance(module, BatchNorm):
            module.gamma.mul_(torch.rand(len(module.gamma), generator=generator) + 0.5)
            module.beta.normal_(std=0.1, generator=generator)
    return frozen


class PlainResNet:
    """The same network by dense matrices and torch's batch_norm, from the state dict alone."""

    def __init__(self, state: dict[str, Tensor], config: ResNetConfig) -> None:
        self.state, self.config = state, config

    def __call__(self, x: Tensor) -> Tensor:
        mean, std = (torch.tensor(v, dtype=x.dtype).reshape(-1, 1, 1) for v in (self.config.mean, self.config.std))
        x = torch.relu(self.norm(self.conv((x - mean) / std, "stem.conv", 1, self.config.channels), "stem.norm"))
        for stage, blocks in enumerate((2, 2, 2, 2), start=1):
            planes = self.config.channels * 2 ** (stage - 1)
            for block in range(1, blocks + 1):
                stride = 2 if stage > 1 and block == 1 else 1
                name = f"stage{stage}.block{block}.sum"
                y = torch.relu(self.norm(self.conv(x, f"{name}.main.0", stride, planes), f"{name}.main.1"))
                y = self.norm(self.conv(y, f"{name}.main.3", 1, planes), f"{name}.main.4")
                if stride == 2:
                    x = self.norm(self.conv(x, f"{name}.shortcut.0", 2, planes), f"{name}.shortcut.1")
                x = torch.relu(x + y)
        return F.linear(x.mean(dim=(2, 3)), self.state["head.weight"], self.state["head.bias"])

    def norm(self, x: Tensor, name: str) -> Tensor:
        mean, variance, gamma, beta = (self.state[f"{name}.{part}"] for part in ("mean", "variance", "gamma", "beta"))
        return F.batch_norm(x, mean, variance, gamma, beta)

    def conv(self, x: Tensor, name: str, stride: int, outputs: int) -> Tensor:
        """exp(A) by the series of the dense matrix, between unshuffling, padding and cutting channels."""
        channels, height, width = x.shape[1:]
        kernel = self.state[f"{name}.kernel"].numpy()
        pixels = height * width // stride**2
        matrix = zero_padded_matrix(kernel, height // stride, width // stride)
        power = total = np.eye(len(matrix))
        for k in range(1, self.config.terms + 1):
            power = power @ matrix
            total = total + power / math.factorial(k)
        unshuffled = unshuffle_matrix(channels, height, width, stride)
        matrix = total[: outputs * pixels, : len(unshuffled)] @ unshuffled
        result = x.flatten(1) @ torch.from_numpy(matrix).T
        result = result.reshape(len(x), outputs, height // stride, width // stride)
        return result + self.state[f"{name}.bias"].reshape(-1, 1, 1)


def test_the_network_is_what_its_weights_say() -> None:
    net = trained_like(SMALL).double()
    images = torch.rand(3, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(net(images), PlainResNet(net.state_dict(), SMALL)(images), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("depth", [18, 34])
def test_depth_counts_the_layers_with_weights(depth: int) -> None:
    with torch.device("meta"):
        net = ResNetConfig(depth=depth, channels=2).build()
    convolutions = [m for name, m in net.named_modules() if isinstance(m, OrthogonalConv2d) and "shortcut" not in name]
    assert len(convolutions) + 1 == depth
    assert net.head.weight.shape == (10, 16)


@pytest.mark.parametrize("conv", CONVOLUTIONS)
def test_every_family_builds_trains_and_survives_a_file(conv: str, tmp_path) -> None:
    config = replace(SMALL, conv=conv)
    torch.manual_seed(0)
    net = config.build()
    net.make_trainable()
    net.train()
    before = {name: p.detach().clone() for name, p in net.named_parameters() if p.requires_grad}
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    nn.functional.cross_entropy(net(torch.rand(8, 3, 8, 8)), torch.arange(8) % 4).backward()
    optimizer.step()
    unmoved = {n for n, p in net.named_parameters() if n in before and torch.equal(p, before[n])}
    assert not unmoved, unmoved
    frozen = net.frozen()
    save_model(frozen, tmp_path / "model.safetensors", config.to_json(), {})
    loaded = load_model(tmp_path / "model.safetensors").net
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in frozen.state_dict().items())
    images = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(loaded(images), frozen(images))


def test_it_expands_and_its_constant_says_so() -> None:
    """The proved constant covers the steepest direction at random images, which is steeper than 1."""
    net = trained_like(SMALL).double()
    bound = net.lipschitz_bound()
    assert bound.proved
    x = torch.rand(3, 8, 8, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda image: net.features(image[None])[0], x)
    steepest = float(torch.linalg.matrix_norm(jacobian.reshape(len(jacobian), -1), 2))
    assert steepest <= bound.value
    assert bound.value > 1 / 0.2507


def test_a_variance_edited_below_zero_is_not_proved() -> None:
    net = trained_like(SMALL)
    norm = net.get_submodule("stem.norm")
    norm.variance[0] = -1.0
    bound = net.lipschitz_bound()
    assert not bound.proved
    assert bound.reason.startswith("layer stem.norm: batch norm")


@pytest.mark.parametrize(
    "changes",
    [
        {"depth": 19}, {"depth": "18"}, {"conv": "relu"}, {"channels": 0}, {"channels": 2.0}, {"classes": 1},
        {"image_size": 12}, {"std": (1.0,)}, {"std": (0.0, 1.0, 1.0)}, {"terms": 0}, {"width": 3},
    ],
    ids=repr,
)  # fmt: skip
def test_what_cannot_be_built_is_refused_by_name(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(changes))):
        configuration({**ResNetConfig().to_json(), **changes})


def test_configuration_through_json() -> None:
    config = ResNetConfig(depth=34, channels=6, conv="soc", classes=100, dataset="cifar100")
    assert configuration(json.loads(json.dumps(config.to_json()))) == config
    assert config.title == "ResNet-34 (6 channels, SOC)"
    with torch.device("meta"):
        assert isinstance(build(config.to_json(), "here"), LipschitzNet)


def test_from_training_to_an_honest_certificate(tmp_path, capsys, monkeypatch, few_images) -> None:
    """Trained by the command, never called 1-Lipschitz, certified with the constant that it has."""
    out = tmp_path / "run"
    options = ("--dataset", "synthetic", "--channels", "2", "--epochs", "1", "--batch", "100", "--holdout", "100")
    monkeypatch.setattr(lipscope.data, "load", lambda name, split, data_dir: few_images)
    assert run(["train", "--model", "resnet18", *options, "--out", str(out)]) == 0
    metrics = json.loads((out / "metrics.jsonl").read_text())
    assert metrics["train_certified"] == metrics["validation_certified"] == 0.0
    assert metrics["train_accuracy"] > 0
    assert "certify it" not in capsys.readouterr().err
    model = str(out / "model.safetensors")
    assert run(["inspect", "--check", model]) == 5
    assert "1-Lipschitz (L" not in capsys.readouterr().out
    assert run(["certify", "--json", "--limit", "20", model]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["lipschitz"]["value"] == load_model(out / "model.safetensors").net.lipschitz_bound().value > 10


@pytest.mark.parametrize(
    ("option", "of"),
    [
        (("--blocks", "2"), "--model lipconvnet"),
        (("--head", "lln"), "--model lipconvnet"),
        (("--activation", "hh1"), "--model lipconvnet"),
        (("--gamma", "0.1"), "a net that is 1-Lipschitz"),
    ],
)
def test_options_without_effect_are_refused(option: tuple[str, str], of: str, tmp_path, capsys) -> None:
    arguments = ["train", "--model", "resnet18", "--dataset", "synthetic", "--out", str(tmp_path / "run"), *option]
    assert run(arguments) == 2
    assert f"{option[0]} is for {of}" in capsys.readouterr().err
