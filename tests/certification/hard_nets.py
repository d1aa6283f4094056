"""Small networks whose floating-point evaluation goes wrong in every way that the proofs speak of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from lipscope.layers.activations import activation
from lipscope.layers.contract import LipschitzLayer
from lipscope.layers.convolutions import CONVOLUTIONS
from lipscope.layers.householder import HouseHolder1, HouseHolder2
from lipscope.layers.last_layers import HEADS
from lipscope.layers.orthogonal import FamilyConv2d
from lipscope.layers.reshape import Flatten, Normalize
from lipscope.layers.skew import conjugate_kernel
from lipscope.layers.soc import SOCConv2d
from lipscope.models.composition import LipschitzNet

SHAPE = (2, 4, 4)
CLASSES = 3

HARDSHIPS = (
    "none", "huge kernels", "tiny kernels", "subnormal kernels", "not skew", "cancelling biases", "huge biases",
    "tiny scale", "tiny std", "huge mean", "seams", "ties", "huge head", "one long row",
)  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """What a network is made from; prints well when a test fails."""

    seed: int
    family: str
    activation: str
    head: str
    hardship: str
    terms: int


RECIPES = st.builds(
    Recipe,
    seed=st.integers(0, 2**31),
    family=st.sampled_from(["soc", "soc", *CONVOLUTIONS]),
    activation=st.sampled_from(["maxmin", "hh1", "hh2"]),
    head=st.sampled_from(list(HEADS)),
    hardship=st.sampled_from(HARDSHIPS),
    terms=st.sampled_from([1, 5, 8, 12]),
)


def make(recipe: Recipe) -> tuple[LipschitzNet, NDArray[np.uint8]]:
    """The network, in eval mode, and one image (1, 2, 4, 4)."""
    generator = torch.Generator().manual_seed(recipe.seed)
    mean, std = {
        "tiny std": ((0.3, 0.5), (1e-6, 0.2)),
        "huge mean": ((1e9, -3e7), (0.25, 1.0)),
    }.get(recipe.hardship, ((0.4914, 0.4465), (0.2507, 0.25)))
    build = CONVOLUTIONS[recipe.family].build
    convolutions = [
        build(2, 2, 3, 1, 4, recipe.terms), build(2, 4, 3, 2, 4, recipe.terms), build(4, 4, 1, 2, 2, recipe.terms),
    ]  # fmt: skip
    body: list[tuple[str, LipschitzLayer]] = []
    for number, layer in enumerate(convolutions):
        _fill(layer, recipe.hardship, number, generator)
        body += [(f"conv{number}", layer), (f"turn{number}", activation(recipe.activation, layer.out_channels))]
    last = HEADS[recipe.head](4, CLASSES, recipe.terms, recipe.family)
    with torch.no_grad():
        for parameter in last.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        if recipe.hardship == "huge head":
            last.bias.add_(1e12) if recipe.head == "lln" else last.conv.bias.add_(1e12)
        if recipe.hardship == "ties" and recipe.head == "lln":
            last.weight[1:] = last.weight[0]
            last.bias.zero_()
    if isinstance(getattr(last, "conv", None), SOCConv2d):
        _fill(last.conv, recipe.hardship, 3, generator)
    net = LipschitzNet(Normalize(mean, std), [*body, ("flatten", Flatten())], last, SHAPE).eval().requires_grad_(False)
    image = torch.randint(0, 256, (1, *SHAPE), generator=generator, dtype=torch.uint8)
    if recipe.hardship == "ties":
        image[:] = image.flatten()[0]
    _turn(net, recipe.hardship, image, generator)
    return net, image.numpy()


@torch.no_grad()
def _fill(layer: FamilyConv2d, hardship: str, number: int, generator: torch.Generator) -> None:
    free = torch.randn(layer.kernel.shape, generator=generator)
    if isinstance(layer, SOCConv2d) and hardship != "not skew":
        free = free - conjugate_kernel(free)
    factor = {"huge kernels": 30.0, "tiny kernels": 1e-20, "subnormal kernels": 1e-42, "tiny scale": 1e-30}.get(
        hardship
    )
    layer.kernel.copy_(free * (0.4 / math.sqrt(layer.kernel.shape[1]) if factor is None else factor))
    layer.bias.copy_(torch.randn(layer.bias.shape, generator=generator))
    if hardship == "cancelling biases":
        # Next to the identity (SOC of a small kernel), what one layer adds the next but one takes away.
        layer.kernel.mul_(1e-3)
        layer.bias.fill_((1e15, -1e15, 0.0, 0.0)[number])
    if hardship == "huge biases":
        layer.bias.mul_(1e25)
    if hardship in ("subnormal kernels", "tiny scale"):
        layer.bias.mul_(1e-40)
    if hardship == "one long row":
        layer.kernel[0] *= 1000.0


@torch.no_grad()
def _turn(net: LipschitzNet, hardship: str, image: Tensor, generator: torch.Generator) -> None:
    """Angles of Householder activations: at random, or so that the pairs of this image lie on the seams."""
    x = image.double() / 255
    for _, layer, _ in net.layers():
        if isinstance(layer, HouseHolder1 | HouseHolder2):
            for theta in layer.parameters():
                theta.copy_(torch.rand(theta.shape, generator=generator) * 2 * math.pi)
            if hardship == "seams":
                first, second = x.chunk(2, dim=1)
                phi = torch.atan2(second, first).flatten(2)[0, :, 0] % (2 * math.pi)
                if isinstance(layer, HouseHolder1):
                    layer.theta.copy_(2 * phi)
                else:
                    seam = int(torch.randint(0, 4, (), generator=generator))
                    layer.theta0.copy_((2 * phi) % (2 * math.pi) if seam == 0 else layer.theta0)
                    rest = (phi - layer.theta0.double() / 2) % (2 * math.pi)
                    layer.theta1.copy_(2 * rest if seam == 1 else layer.theta1)
                    layer.theta2.copy_(2 * (rest - math.pi) if seam == 3 else 2 * rest - layer.theta1.double())
            elif hardship == "ties":
                for theta in layer.parameters():
                    theta.copy_(theta / (math.pi / 4)).round_().mul_(math.pi / 4)
        x = layer(x)
