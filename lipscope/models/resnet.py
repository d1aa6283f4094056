"""Residual networks with orthogonal convolutions, for standard training (Singla & Feizi, ICML 2021, section 6).

Batch normalisation and residual sums make them expand: they are not 1-Lipschitz as a whole. Their constant is proved
like any other, and it is large.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

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
from lipscope.models.architecture import Config
from lipscope.models.composition import LipschitzNet

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""Basic blocks in each of the four stages, by depth (He et al., CVPR 2016, table 1)."""


@dataclass(frozen=True)
class ResNetConfig(Config):
    """The arguments of a residual network, as stored in a checkpoint.

    Args:
        depth: 18 or 34.
        channels: planes of the first stage; every later stage doubles them.
        conv: the family of the convolutions.
        terms: highest power of the exponential series in eval mode.
        image_size: height and width, a multiple of 8.
    """

    depth: int = 18
    channels: int = 64
    conv: str = "soc"
    terms: int = 12
    architecture: str = field(default="resnet", kw_only=True)

    OPTIONS: ClassVar = ("depth", "channels", "conv")
    ONE_LIPSCHITZ: ClassVar = False
    RANGES: ClassVar = {"channels": (2, 4096), "terms": (1, 64), "image_size": (8, 2**12)}

    def __post_init__(self) -> None:
        """Refuse what cannot be built.

        Raises:
            UsageError: naming the argument.
        """
        CONVOLUTIONS.known(self.conv)
        if self.depth not in BLOCKS:
            raise UsageError(f"depth must be one of {', '.join(map(str, BLOCKS))}", why=f"got {self.depth!r}")
        super().__post_init__()
        if self.image_size % 8:
            raise UsageError("image_size must be a multiple of 8", why="three of four stages halve it")

    @property
    def title(self) -> str:
        """``ResNet-18 (64 channels, SOC)``."""
        return f"ResNet-{self.depth} ({self.channels} channels, {CONVOLUTIONS[self.conv].title})"

    def build(self) -> LipschitzNet:
        """Build the network with zero weights; load a checkpoint or call ``make_trainable``.

        The stem and every block use 3x3 convolutions of the family; a shortcut that changes shape is a 1x1 convolution
        of the family, with stride by pixel-unshuffle, and batch normalisation.
        """
        side, current = self.image_size, len(self.mean)
        stem = _convolution(self, current, self.channels, 3, 1, side)
        body: list[tuple[str, LipschitzLayer]] = [("stem.conv", stem), ("stem.norm", _norm(self.channels))]
        body.append(("stem.activation", ReLU()))
        current = self.channels
        for stage, blocks in enumerate(BLOCKS[self.depth], start=1):
            planes = self.channels * 2 ** (stage - 1)
            for block in range(1, blocks + 1):
                stride = 2 if stage > 1 and block == 1 else 1
                name = f"stage{stage}.block{block}"
                body.append((f"{name}.sum", _basic_block(self, name, current, planes, stride, side)))
                body.append((f"{name}.activation", ReLU()))
                current, side = planes, side // stride
        body += [("pool", GlobalAveragePool()), ("flatten", Flatten())]
        head = LinearHead(current, self.classes)
        return LipschitzNet(Normalize(self.mean, self.std), body, head, self.input_shape, one_lipschitz=False)


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
