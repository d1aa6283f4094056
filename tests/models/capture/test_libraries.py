"""Networks of other people's libraries: what their authors promise holds of the file, or its bound says otherwise."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import lipscope
from lipscope.bounds.rounding import FLOAT64
from lipscope.certification.budget import error_budget
from lipscope.files.checkpoint import read_header
from lipscope.models.composition import LipschitzNet
from tests import dense
from tests.models.capture import nets


def trained(net: nn.Module, shape: tuple[int, ...]) -> None:
    """Briefly, whatever the libraries warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nets.trained(net, shape)


def file_of(net: nn.Module, folder: Path, shape: tuple[int, ...]) -> LipschitzNet:
    path = folder / "model.safetensors"
    lipscope.save(net.eval(), path, input_shape=shape)
    return lipscope.load(path)


def kinds(folder: Path) -> list[str]:
    return [layer["kind"] for layer in read_header(folder / "model.safetensors").config["layers"]]


def agree(net: nn.Module, file: LipschitzNet, shape: tuple[int, ...]) -> None:
    x = torch.rand(3, *shape, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        torch.testing.assert_close(file(x), net(x), rtol=1e-4, atol=1e-5)


def steepest(file: LipschitzNet, shape: tuple[int, ...]) -> float:
    """The norm of the Jacobian of the features at one point, by LAPACK."""
    exact = file.double()
    point = torch.rand(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda p: exact.features(p[None])[0], point).flatten(1)
    file.float()
    return dense.norm(np.asarray(jacobian))


def test_orthogonium(tmp_path: Path) -> None:
    """AOC convolutions with stride and groups, MaxMin, the Householder activation and a head with unit rows."""
    layers = pytest.importorskip("orthogonium.layers")
    from orthogonium.layers.conv.AOC import AdaptiveOrthoConv2d

    shape = (3, 8, 8)
    torch.manual_seed(0)
    net = nn.Sequential(
        AdaptiveOrthoConv2d(3, 8, 3, padding=1, padding_mode="circular"), layers.MaxMin(),
        AdaptiveOrthoConv2d(8, 16, 4, stride=2, padding=1, padding_mode="circular", groups=2), layers.MaxMin(),
        layers.HouseHolder(16), nn.Flatten(), layers.UnitNormLinear(256, 10),
    )  # fmt: skip
    trained(net, shape)
    file = file_of(net, tmp_path, shape)
    agree(net, file, shape)
    assert kinds(tmp_path) == [
        "conv2d", "max_min", "conv2d", "max_min", "householder", "scale_shift", "flatten", "linear"
    ]  # fmt: skip
    bounds = dict(file.bounds())
    # Its iterations end in float32: 1 but for the seventh digit, and what is more is counted.
    assert all(bound.value <= 1 + 1e-5 for bound in bounds.values())
    assert steepest(file, shape) <= file.lipschitz_bound().value <= math.sqrt(0.5) * (1 + 1e-5)
    rows = torch.linalg.vector_norm(file.head.weight, dim=1)
    torch.testing.assert_close(rows, torch.ones(10), rtol=1e-5, atol=1e-5)
    assert error_budget(file, FLOAT64)[0].margin < 1e-9


def test_orthogoniums_residual_steps(tmp_path: Path) -> None:
    """SLL blocks, convolutional and dense, are what their authors promise: 1-Lipschitz, up to rounding."""
    pytest.importorskip("orthogonium")
    from orthogonium.layers.conv.SLL.sll_layer import SDPBasedLipschitzDense, SDPBasedLipschitzResBlock

    torch.manual_seed(0)
    block, dense = SDPBasedLipschitzResBlock(3, 2), SDPBasedLipschitzDense(48, 48, 16)
    lipscope.save(
        nn.Sequential(block, nn.Flatten(), dense, nn.Linear(48, 5)).eval(),
        tmp_path / "m.safetensors",
        input_shape=(3, 4, 4),
    )
    net = lipscope.load(tmp_path / "m.safetensors")
    assert [layer.kind for _, layer in net.body() if layer.kind != "flatten"] == ["step down a convex potential"] * 2
    assert 1.0 <= net.lipschitz_bound().value <= 1 + 1e-6


def test_layers_that_centre_and_shuffle(tmp_path: Path) -> None:
    """1 where their authors promise it; deel-torchlip's batch norm with one factor asks for its counter of batches."""
    ours, lip = pytest.importorskip("orthogonium.layers"), pytest.importorskip("deel.torchlip.modules")
    from orthogonium.layers.conv.SLL.sll_layer import AOCLipschitzResBlock
    from orthogonium.layers.custom_activations import SoftHuber
    from orthogonium.layers.residual import L2NormResidual

    shape = (4, 6, 6)
    torch.manual_seed(0)
    net = nn.Sequential(
        ours.LayerCentering2D(4), ours.HouseHolder_Order_2(4), ours.ChannelShuffle(2, 2), ours.BatchCentering2D(4),
        L2NormResidual(lip.LayerCentering(4)), SoftHuber(), AOCLipschitzResBlock(4, 2, 3),
        lip.BatchCentering(4), lip.BatchLipNorm(4), nn.Flatten(), nn.Linear(144, 3),
    )  # fmt: skip
    trained(net, shape)
    file = file_of(net, tmp_path, shape)
    agree(net, file, shape)
    assert [kind for kind in kinds(tmp_path) if kind not in ("scale_shift", "reshape", "permute")] == [
        "centering", "householder", "take", "block", "pad", "l2_pool", "pad", "l2_pool", "potential_step", "flatten",
        "linear",
    ]  # fmt: skip
    scale = math.sqrt(0.5) * float(net[8].get_scaling())
    assert steepest(file, shape) <= file.lipschitz_bound().value == pytest.approx(scale, rel=1e-5)


def test_deel_torchlip(tmp_path: Path) -> None:
    """Spectral convolutions, sorting of groups, the Householder activation and its scaled pools."""
    lip = pytest.importorskip("deel.torchlip")
    shape = (3, 8, 8)
    torch.manual_seed(0)
    net = lip.Sequential(
        lip.SpectralConv2d(3, 8, 3, padding="same"), lip.GroupSort2(), lip.ScaledL2NormPool2d(2),
        lip.SpectralConv2d(8, 8, 3, padding=1, padding_mode="reflect"), lip.GroupSort(4), lip.HouseHolder(8),
        lip.InvertibleDownSampling(2), lip.FullSort(), lip.ScaledAvgPool2d(2), nn.Flatten(), lip.FrobeniusLinear(32, 4),
    )  # fmt: skip
    trained(net, shape)
    file = file_of(net, tmp_path, shape)
    agree(net, file, shape)
    assert kinds(tmp_path) == [
        "conv2d", "max_min", "l2_pool", "conv2d", "group_sort", "householder", "pixel_unshuffle", "group_sort",
        "average_pool", "scale_shift", "flatten", "linear",
    ]  # fmt: skip
    assert steepest(file, shape) <= file.lipschitz_bound().value <= 1 + 1e-5
    assert error_budget(file, FLOAT64)[0].margin < 1e-9


def test_torchvisions_resnet(tmp_path: Path) -> None:
    torchvision = pytest.importorskip("torchvision")
    shape = (3, 32, 32)
    torch.manual_seed(0)
    net = torchvision.models.resnet18(num_classes=10)
    file = file_of(net, tmp_path, shape)
    agree(net, file, shape)
    blocks = [
        layer for layer in read_header(tmp_path / "model.safetensors").config["layers"] if layer["kind"] == "block"
    ]
    assert len(blocks) == 8
    names = {tensor.name for tensor in read_header(tmp_path / "model.safetensors").tensors}
    # The tensors have the author's names, all but the counters of batches.
    assert names == {name for name in net.state_dict() if "num_batches" not in name}


def test_a_skew_convolution_written_by_hand_is_orthogonal(tmp_path: Path) -> None:
    """As the modulus of its polynomial, not as a sum of powers, which would give e^rho."""
    shape = (4, 6, 6)
    torch.manual_seed(0)
    net = nn.Sequential(
        nets.Skew(4, 12), nets.max_min_spellings()["halves"], nets.Skew(4, 12), nn.Flatten(), nn.Linear(144, 3)
    )
    nets.trained(net, shape)
    file = file_of(net, tmp_path, shape)
    agree(net, file, shape)
    assert [kind for kind in kinds(tmp_path) if kind == "soc"] == ["soc", "soc"]
    assert file.lipschitz_bound().value == 1.0
    assert steepest(file, shape) <= 1 + 1e-12


def test_torchs_own_parametrisations(tmp_path: Path) -> None:
    """``orthogonal`` keeps its promise on a linear layer; ``spectral_norm`` normalises another matrix than a conv's."""
    from torch.nn.utils.parametrizations import orthogonal, spectral_norm

    shape = (3, 6, 6)
    torch.manual_seed(0)
    net = nn.Sequential(
        spectral_norm(nn.Conv2d(3, 8, 3, padding=1), n_power_iterations=20), nn.ReLU(), nn.Flatten(),
        orthogonal(nn.Linear(288, 32)), nn.ReLU(), nn.Linear(32, 3),
    )  # fmt: skip
    nets.trained(net, shape)
    file = file_of(net, tmp_path, shape)
    agree(net, file, shape)
    bounds = dict(file.bounds())
    kernel = net[0].weight.detach().double()
    exact = dense.norm(dense.zero_padded_matrix(kernel.numpy(), 6, 6, padding=(1, 1)))
    assert exact <= bounds["0"].value <= exact * 1.1
    assert bounds["0"].value > 1.2
    assert bounds["3"].value == pytest.approx(1, abs=1e-6)
