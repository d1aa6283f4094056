"""LipConvnet-5n: five stages of n blocks, each a 1-Lipschitz convolution and activation (ICLR 2022, table 7)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from lipscope.errors import UsageError
from lipscope.layers.activations import ACTIVATIONS, activation, group_size
from lipscope.layers.contract import LipschitzLayer
from lipscope.layers.convolutions import CONVOLUTIONS
from lipscope.layers.heads import HEADS, head
from lipscope.layers.reshape import Flatten, Normalize
from lipscope.models.composition import LipschitzNet

STAGES = 5


@dataclass(frozen=True)
class LipConvnetConfig:
    """The arguments of a LipConvnet, as stored in a checkpoint.

    Args:
        blocks: n, blocks in each of the five stages.
        channels: planes of the first stage; every stage doubles them.
        activation: ``"maxmin"``, ``"hh1"``, ``"hh2"`` or ``"groupsortK"`` for groups of K channels.
        head: ``"lln"`` or ``"orthogonal"``.
        classes: number of classes.
        dataset: the data set it is for.
        mean, std: of the input normalisation, per channel, for pixels in [0, 1].
        conv: the family of the convolutions.
        terms: highest power of a series in eval mode, for families that sum one.
        image_size: height and width, a multiple of 32.
        architecture: the name in the registry.
    """

    blocks: int = 1
    channels: int = 32
    activation: str = "maxmin"
    head: str = "lln"
    classes: int = 10
    dataset: str = "cifar10"
    mean: tuple[float, ...] = (0.4914, 0.4822, 0.4465)
    std: tuple[float, ...] = (0.2507, 0.2507, 0.2507)
    conv: str = "soc"
    terms: int = 12
    image_size: int = 32
    architecture: str = "lipconvnet"

    def __post_init__(self) -> None:
        """Refuse what cannot be built.

        Raises:
            UsageError: naming the argument.
        """
        size = group_size(self.activation) if isinstance(self.activation, str) else None
        if size is None:
            choices = ", ".join(ACTIVATIONS)
            raise UsageError(f"unknown activation {self.activation!r}", next_step=f"choose from {choices}")
        for name, value, allowed in (
            ("head", self.head, HEADS),
            ("conv", self.conv, tuple(CONVOLUTIONS)),
        ):
            if value not in allowed:
                raise UsageError(f"unknown {name} {value!r}", next_step=f"choose from {', '.join(allowed)}")
        for name, number, low, high in (
            ("blocks", self.blocks, 1, 64),
            ("channels", self.channels, 2, 4096),
            ("classes", self.classes, 2, 100_000),
            ("terms", self.terms, 1, 64),
            ("image_size", self.image_size, 2**STAGES, 2**12),
        ):
            if type(number) is not int or not low <= number <= high:
                raise UsageError(f"{name} must be a whole number from {low} to {high}", why=f"got {number!r}")
        if self.channels % size:
            what, groups = ("even", "pairs") if size == 2 else (f"a multiple of {size}", f"groups of {size}")
            raise UsageError(f"channels must be {what}", why=f"the activations work on {groups}")
        if self.image_size % 2**STAGES:
            raise UsageError(f"image_size must be a multiple of {2**STAGES}", why="each of five stages halves it")
        numbers = all(type(value) in (int, float) and math.isfinite(value) for value in (*self.mean, *self.std))
        if not self.std or len(self.mean) != len(self.std) or not numbers or not all(s > 0 for s in self.std):
            raise UsageError("std must be positive, one per channel", why=f"got mean {self.mean}, std {self.std}")

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> LipConvnetConfig:
        """The configuration stored in a checkpoint; unknown keys are refused.

        Raises:
            UsageError: a value or a key that cannot be.
        """
        known = {field.name for field in fields(LipConvnetConfig)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise UsageError(f"unknown configuration key {unknown[0][:80]!r}")
        tuples = {key: tuple(values[key]) for key in ("mean", "std") if key in values}
        return LipConvnetConfig(**{**values, **tuples})

    def to_json(self) -> dict[str, Any]:
        """The object stored under ``lipscope.config``."""
        return asdict(self)

    @property
    def title(self) -> str:
        """The paper's name with what distinguishes it: ``LipConvnet-5 (16 channels, SOC, MaxMin, LLN)``."""
        names = {"maxmin": "MaxMin", "hh1": "HH1", "hh2": "HH2", "lln": "LLN", "orthogonal": "orthogonal head"}
        activation = names.get(self.activation) or f"GroupSort {group_size(self.activation)}"
        parts = [f"{self.channels} channels", CONVOLUTIONS[self.conv].title, activation, names[self.head]]
        return f"LipConvnet-{STAGES * self.blocks} ({', '.join(parts)})"


def lipconvnet(config: LipConvnetConfig) -> LipschitzNet:
    """Build the network with zero weights; load a checkpoint or call ``make_trainable``.

    In each stage all blocks but the last keep the resolution with 3x3 convolutions; the last halves it and doubles
    the planes (3x3; 1x1 in the fifth stage).
    """
    body: list[tuple[str, LipschitzLayer]] = []
    build = CONVOLUTIONS[config.conv].build
    current, planes, side = len(config.mean), config.channels, config.image_size
    for stage in range(1, STAGES + 1):
        for block in range(1, config.blocks + 1):
            last = block == config.blocks
            kernel_size = 1 if last and stage == STAGES else 3
            target, stride = (2 * planes, 2) if last else (planes, 1)
            name = f"stage{stage}.block{block}"
            conv = build(current, target, kernel_size, stride, side, config.terms)
            body.append((f"{name}.conv", conv))
            body.append((f"{name}.activation", activation(config.activation, target)))
            current, side = target, side // stride
        planes = current
    body.append(("flatten", Flatten()))
    features = current * side**2
    return LipschitzNet(
        Normalize(config.mean, config.std),
        body,
        head(config.head, features, config.classes, config.terms, config.conv),
        (len(config.mean), config.image_size, config.image_size),
    )
