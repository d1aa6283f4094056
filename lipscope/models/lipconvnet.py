"""LipConvnet-5n: five stages of n blocks, each a 1-Lipschitz convolution and activation (ICLR 2022, table 7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from lipscope.errors import UsageError
from lipscope.layers.activations import ACTIVATIONS, activation, group_size
from lipscope.layers.contract import LipschitzLayer
from lipscope.layers.convolutions import CONVOLUTIONS
from lipscope.layers.last_layers import HEADS
from lipscope.layers.reshape import Flatten, Normalize
from lipscope.models.architecture import Config
from lipscope.models.composition import LipschitzNet

STAGES = 5


@dataclass(frozen=True)
class LipConvnetConfig(Config):
    """The arguments of a LipConvnet, as stored in a checkpoint.

    Args:
        blocks: n, blocks in each of the five stages.
        channels: planes of the first stage; every stage doubles them.
        activation: ``"maxmin"``, ``"hh1"``, ``"hh2"`` or ``"groupsortK"`` for groups of K channels.
        head: ``"lln"`` or ``"orthogonal"``.
        conv: the family of the convolutions.
        terms: highest power of a series in eval mode, for families that sum one.
        image_size: height and width, a multiple of 32.
    """

    blocks: int = 1
    channels: int = 32
    activation: str = "maxmin"
    head: str = "lln"
    conv: str = "soc"
    terms: int = 12
    architecture: str = field(default="lipconvnet", kw_only=True)

    OPTIONS: ClassVar = ("blocks", "channels", "activation", "head", "conv")
    RANGES: ClassVar = {"blocks": (1, 64), "channels": (2, 4096), "terms": (1, 64), "image_size": (2**STAGES, 2**12)}

    def __post_init__(self) -> None:
        """Refuse what cannot be built.

        Raises:
            UsageError: naming the argument.
        """
        size = group_size(self.activation) if isinstance(self.activation, str) else None
        if size is None:
            ACTIVATIONS.known(self.activation)
        HEADS.known(self.head)
        CONVOLUTIONS.known(self.conv)
        super().__post_init__()
        assert size is not None
        if self.channels % size:
            what, groups = ("even", "pairs") if size == 2 else (f"a multiple of {size}", f"groups of {size}")
            raise UsageError(f"channels must be {what}", why=f"the activations work on {groups}")
        if self.image_size % 2**STAGES:
            raise UsageError(f"image_size must be a multiple of {2**STAGES}", why="each of five stages halves it")

    @property
    def title(self) -> str:
        """The paper's name with what distinguishes it: ``LipConvnet-5 (16 channels, SOC, MaxMin, LLN)``."""
        names = {"maxmin": "MaxMin", "hh1": "HH1", "hh2": "HH2", "lln": "LLN", "orthogonal": "orthogonal head"}
        activation = names.get(self.activation) or f"GroupSort {group_size(self.activation)}"
        parts = [f"{self.channels} channels", CONVOLUTIONS[self.conv].title, activation, names[self.head]]
        return f"LipConvnet-{STAGES * self.blocks} ({', '.join(parts)})"

    def build(self) -> LipschitzNet:
        """Build the network with zero weights; load a checkpoint or call ``make_trainable``.

        In each stage all blocks but the last keep the resolution with 3x3 convolutions; the last halves it and doubles
        the planes (3x3; 1x1 in the fifth stage).
        """
        body: list[tuple[str, LipschitzLayer]] = []
        build = CONVOLUTIONS[self.conv].build
        current, planes, side = len(self.mean), self.channels, self.image_size
        for stage in range(1, STAGES + 1):
            for block in range(1, self.blocks + 1):
                last = block == self.blocks
                kernel_size = 1 if last and stage == STAGES else 3
                target, stride = (2 * planes, 2) if last else (planes, 1)
                name = f"stage{stage}.block{block}"
                conv = build(current, target, kernel_size, stride, side, self.terms)
                body.append((f"{name}.conv", conv))
                body.append((f"{name}.activation", activation(self.activation, target)))
                current, side = target, side // stride
            planes = current
        body.append(("flatten", Flatten()))
        features = current * side**2
        return LipschitzNet(
            Normalize(self.mean, self.std),
            body,
            HEADS[self.head](features, self.classes, self.terms, self.conv),
            self.input_shape,
        )
