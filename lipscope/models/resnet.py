"""Residual networks with orthogonal convolutions, for standard training (Singla & Feizi, ICML 2021, section 6).

Batch normalisation and residual sums make them expand: they are not 1-Lipschitz as a whole. Their constant is proved
like any other, and it is large.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch

from lipscope.errors import UsageError
from lipscope.layers.batch_norm import BatchNorm
from lipscope.layers.contract import LipschitzLayer
from lipscope.layers.convolutions import CONVOLUTIONS
from lipscope.layers.elementwise import ReLU
from lipscope.layers.heads import LinearHead
from lipscope.layers.pooling import GlobalAveragePool
from lipscope.layers.reshape import Flatten, Normalize
from lipscope.layers.residual import Residual
from lipscope.models.composition import LipschitzNet

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""Basic blocks in each of the four stages, by depth (He et al., CVPR 2016, table 1)."""


@dataclass(frozen=True)
class ResNetConfig:
    """The arguments of a residual network, as stored in a checkpoint.

    Args:
        depth: 18 or 34.
        channels: planes of the first stage; every later stage doubles them.
        conv: the family of the convolutions.
        classes: number of classes.
        dataset: the data set it is for.
        mean, std: of the input normalisation, per channel, for pixels in [0, 1].
        terms: highest power of the exponential series in eval mode.
        image_size: height and width, a multiple of 8.
        architecture: the name in the registry.
    """

    depth: int = 18
    channels: int = 64
    conv: str = "soc"
    classes: int = 10
    dataset: str = "cifar10"
    mean: tuple[float, ...] = (0.4914, 0.4822, 0.4465)
    std: tuple[float, ...] = (0.2507, 0.2507, 0.2507)
    terms: int = 12
    image_size: int = 32
    architecture: str = "resnet"

    def __post_init__(self) -> None:
        """Refuse what cannot be built.

        Raises:
            UsageError: naming the argument.
        """
        if self.conv not in CONVOLUTIONS:
            raise UsageError(f"unknown conv {self.conv!r}", next_step=f"choose from {', '.join(CONVOLUTIONS)}")
        if self.depth not in BLOCKS:
            raise UsageError(f"depth must be one of {', '.join(map(str, BLOCKS))}", why=f"got {self.depth!r}")
        for name, number, low, high in (
            ("channels", self.channels, 2, 4096),
            ("classes", self.classes, 2, 100_000),
            ("terms", self.terms, 1, 64),
            ("image_size", self.image_size, 8, 2**12),
        ):
            if type(number) is not int or not low <= number <= high:
                raise UsageError(f"{name} must be a whole number from {low} to {high}", why=f"got {number!r}")
        if self.image_size % 8:
            raise UsageError("image_size must be a multiple of 8", why="three of four stages halve it")
        numbers = all(type(value) in (int, float) and math.isfinite(value) for value in (*self.mean, *self.std))
        if not self.std or len(self.mean) != len(self.std) or not numbers or not all(s > 0 for s in self.std):
            raise UsageError("std must be positive, one per channel", why=f"got mean {self.mean}, std {self.std}")

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> ResNetConfig:
        """The configuration stored in a checkpoint; unknown keys are refused.

        Raises:
            UsageError: a value or a key that cannot be.
        """
        unknown = sorted(set(values) - {field.name for field in fields(ResNetConfig)})
        if unknown:
            raise UsageError(f"unknown configuration key {unknown[0][:80]!r}")
        tuples = {key: tuple(values[key]) for key in ("mean", "std") if key in values}
        return ResNetConfig(**{**values, **tuples})

    def to_json(self) -> dict[str, Any]:
        """The object stored under ``lipscope.config``."""
        return asdict(self)

    @property
    def title(self) -> str:
        """``ResNet-18 (64 channels, SOC)``."""
        return f"ResNet-{self.depth} ({self.channels} channels, {CONVOLUTIONS[self.conv].title})"


def resnet(config: ResNetConfig) -> LipschitzNet:
    """Build the network with zero weights; load a checkpoint or call ``make_trainable``.

    The stem and every block use 3x3 convolutions of the family; a shortcut that changes shape is a 1x1 convolution of
    the family, with stride by pixel-unshuffle, and batch normalisation.
    """
    side, current = config.image_size, len(config.mean)
    stem = _convolution(config, current, config.channels, 3, 1, side)
    body: list[tuple[str, LipschitzLayer]] = [("stem.conv", stem), ("stem.norm", _norm(config.channels))]
    body.append(("stem.activation", ReLU()))
    current = config.channels
    for stage, blocks in enumerate(BLOCKS[config.depth], start=1):
        planes = config.channels * 2 ** (stage - 1)
        for block in range(1, blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            name = f"stage{stage}.block{block}"
            body.append((f"{name}.sum", _basic_block(config, name, current, planes, stride, side)))
            body.append((f"{name}.activation", ReLU()))
            current, side = planes, side // stride
    body += [("pool", GlobalAveragePool()), ("flatten", Flatten())]
    shape = (len(config.mean), config.image_size, config.image_size)
    head = LinearHead(current, config.classes)
    return LipschitzNet(Normalize(config.mean, config.std), body, head, shape, one_lipschitz=False)


def _basic_block(config: ResNetConfig, name: str, current: int, planes: int, stride: int, side: int) -> Residual:
    """Two 3x3 convolutions beside the identity, or beside a 1x1 convolution where the shape changes."""
    main: list[tuple[str, LipschitzLayer]] = [
        (f"{name}.conv1", _convolution(config, current, planes, 3, stride, side)),
        (f"{name}.norm1", _norm(planes)),
        (f"{name}.activation1", ReLU()),
        (f"{name}.conv2", _convolution(config, planes, planes, 3, 1, side // stride)),
        (f"{name}.norm2", _norm(planes)),
    ]
    if current == planes and stride == 1:
        return Residual(main)
    projection = _convolution(config, current, planes, 1, stride, side)
    return Residual(main, [(f"{name}.shortcut.conv", projection), (f"{name}.shortcut.norm", _norm(planes))])


def _convolution(
    config: ResNetConfig, inputs: int, outputs: int, kernel_size: int, stride: int, side: int
) -> LipschitzLayer:
    return CONVOLUTIONS[config.conv].build(inputs, outputs, kernel_size, stride, side, config.terms)


def _norm(channels: int) -> BatchNorm:
    return BatchNorm(torch.zeros(channels), torch.ones(channels), None, None)
