"""What the configurations of all architectures share: a checkpoint stores one, and it builds the network."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

from lipscope.errors import UsageError
from lipscope.models.composition import LipschitzNet


@dataclass(frozen=True, kw_only=True)
class Config(ABC):
    """The arguments of an architecture, as stored in a checkpoint.

    Args:
        classes: number of classes.
        dataset: the data set it is for.
        mean, std: of the input normalisation, per channel, for pixels in [0, 1].
        image_size: height and width.
        architecture: the name in the registry.
    """

    classes: int = 10
    dataset: str = "cifar10"
    mean: tuple[float, ...] = (0.4914, 0.4822, 0.4465)
    std: tuple[float, ...] = (0.2507, 0.2507, 0.2507)
    image_size: int = 32
    architecture: str

    RANGES: ClassVar[Mapping[str, tuple[int, int]]]
    """By name, the least and the largest value of a whole number, besides ``classes``."""

    OPTIONS: ClassVar[tuple[str, ...]]
    """The options of ``lipscope train`` that decide what is built."""

    ONE_LIPSCHITZ: ClassVar[bool] = True
    """Whether the body is built to be 1-Lipschitz."""

    RECIPE: ClassVar[str | None] = None
    """The recipe that goes with it; None for the one that suits the machine."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built.

        Raises:
            UsageError: naming the argument.
        """
        for name, (low, high) in {"classes": (2, 100_000), **self.RANGES}.items():
            number = getattr(self, name)
            if type(number) is not int or not low <= number <= high:
                raise UsageError(f"{name} must be a whole number from {low} to {high}", why=f"got {number!r}")
        numbers = all(type(value) in (int, float) and math.isfinite(value) for value in (*self.mean, *self.std))
        if not self.std or len(self.mean) != len(self.std) or not numbers or not all(s > 0 for s in self.std):
            raise UsageError("std must be positive, one per channel", why=f"got mean {self.mean}, std {self.std}")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The configuration stored in a checkpoint; unknown keys are refused.

        Raises:
            UsageError: a value or a key that cannot be.
        """
        known = {field.name: field.default for field in fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise UsageError(f"unknown configuration key {unknown[0][:80]!r}")
        arguments: dict[str, Any] = {
            key: tuple(value) if isinstance(known[key], tuple) else value for key, value in values.items()
        }
        return cls(**arguments)

    @classmethod
    def from_options(cls, given: Mapping[str, Any]) -> Self:
        """The configuration that options of :attr:`OPTIONS` ask for.

        Raises:
            UsageError: a value that cannot be.
        """
        return cls(**given)

    def to_json(self) -> dict[str, Any]:
        """The object stored under ``lipscope.config``."""
        return asdict(self)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image."""
        return len(self.mean), self.image_size, self.image_size

    @property
    @abstractmethod
    def title(self) -> str:
        """For a person, with what distinguishes it."""

    @abstractmethod
    def build(self) -> LipschitzNet:
        """The network with zero weights: load a checkpoint, or call ``make_trainable``."""
