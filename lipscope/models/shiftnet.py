"""ShiftNet: orthogonal matrices on patches, absolute values and shifts of channel groups; no convolution.

A hierarchy of patches after the manner of LipNeXt (ICLR 2026), made for training by the minute: every stage joins
patches of pixels with one orthogonal matrix, and mixes neighbours by circular shifts between further ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from lipscope.errors import UsageError
from lipscope.layers.contract import LipschitzLayer
from lipscope.layers.heads import LastLayerNormalized
from lipscope.layers.pointwise import PointwiseConv2d
from lipscope.layers.reshape import Flatten, Normalize
from lipscope.layers.shift import ShiftAbs
from lipscope.models.architecture import Config
from lipscope.models.composition import LipschitzNet

LARGEST_WIDTH = 4096
MOST_STAGES = 8
MOST_BLOCKS = 64


@dataclass(frozen=True)
class ShiftNetConfig(Config):
    """The arguments of a ShiftNet, as stored in a checkpoint.

    Args:
        widths: channels of each stage, even.
        blocks: matrices of each stage, at least 1; the first joins patches, further ones follow shifts.
        stem: height and width of the first patches; those of later stages are 2x2.
        image_size: height and width, a multiple of all patches together.
    """

    widths: tuple[int, ...] = (64, 128, 256)
    blocks: tuple[int, ...] = (3, 3, 3)
    stem: int = 4
    architecture: str = field(default="shiftnet", kw_only=True)

    OPTIONS: ClassVar = ("stages", "stem")
    RECIPE: ClassVar = "manifold"
    RANGES: ClassVar = {"stem": (1, 16), "image_size": (1, 2**12)}

    def __post_init__(self) -> None:
        """Refuse what cannot be built.

        Raises:
            UsageError: naming the argument.
        """
        for name, values, high in (("widths", self.widths, LARGEST_WIDTH), ("blocks", self.blocks, MOST_BLOCKS)):
            if not 1 <= len(values) <= MOST_STAGES or not all(type(v) is int and 1 <= v <= high for v in values):
                raise UsageError(
                    f"{name} must be 1 to {MOST_STAGES} whole numbers from 1 to {high}", why=f"got {list(values)!r}"
                )
        if any(width % 2 for width in self.widths):
            raise UsageError("widths must be even", why="absolute values are taken of half of the channels")
        if len(self.widths) != len(self.blocks):
            raise UsageError("widths and blocks must name the same stages", why=f"{self.widths} and {self.blocks}")
        super().__post_init__()
        if self.image_size % (self.stem * 2 ** (len(self.widths) - 1)):
            raise UsageError("image_size must be a multiple of the patches", why=f"got {self.image_size}")

    @classmethod
    def from_options(cls, given: Mapping[str, Any]) -> ShiftNetConfig:
        """``stages`` as in ``--stages 64x3,128x3``.

        Raises:
            UsageError: stages that are not written so.
        """
        values = dict(given)
        stages = values.pop("stages", None)
        if stages is not None:
            try:
                pairs = [tuple(map(int, stage.split("x"))) for stage in stages.split(",")]
                widths, blocks = zip(*((width, count) for width, count in pairs), strict=True)
            except ValueError as error:
                raise UsageError(
                    f"--stages {stages[:80]} cannot be read", next_step="write WIDTHxMATRICES of each: 64x3,128x3"
                ) from error
            values |= {"widths": widths, "blocks": blocks}
        return cls(**values)

    @property
    def title(self) -> str:
        """``ShiftNet-9 (widths 64-128-256, LLN)``."""
        return f"ShiftNet-{sum(self.blocks)} (widths {'-'.join(map(str, self.widths))}, LLN)"

    def build(self) -> LipschitzNet:
        """Build the network with zero weights; load a checkpoint or call ``make_trainable``.

        Shifts follow every matrix but the last of a stage, which is followed by absolute values alone.
        """
        body: list[tuple[str, LipschitzLayer]] = []
        current, side = len(self.mean), self.image_size
        for stage, (width, blocks) in enumerate(zip(self.widths, self.blocks, strict=True), start=1):
            for block in range(1, blocks + 1):
                stride = 1 if block > 1 else self.stem if stage == 1 else 2
                side //= stride
                name = f"stage{stage}.block{block}"
                body.append((f"{name}.matrix", PointwiseConv2d(current, width, stride)))
                body.append((f"{name}.activation", ShiftAbs(shifting=side > 1 and block < blocks)))
                current = width
        body.append(("flatten", Flatten()))
        return LipschitzNet(
            Normalize(self.mean, self.std),
            body,
            LastLayerNormalized(current * side**2, self.classes),
            self.input_shape,
        )
