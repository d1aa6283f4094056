"""Architectures by name: what a checkpoint's configuration builds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lipscope.errors import CheckpointError, LipscopeError, UsageError
from lipscope.models.composition import LipschitzNet
from lipscope.models.lipconvnet import LipConvnetConfig, lipconvnet
from lipscope.models.resnet import ResNetConfig, resnet
from lipscope.models.shiftnet import ShiftNetConfig, shiftnet

Config = LipConvnetConfig | ResNetConfig | ShiftNetConfig

ARCHITECTURES: dict[str, Callable[[Mapping[str, Any]], LipschitzNet]] = {
    "lipconvnet": lambda config: lipconvnet(LipConvnetConfig.from_json(config)),
    "resnet": lambda config: resnet(ResNetConfig.from_json(config)),
    "shiftnet": lambda config: shiftnet(ShiftNetConfig.from_json(config)),
}


def configuration(values: Mapping[str, Any]) -> Config:
    """The configuration of a known architecture.

    Raises:
        UsageError: a value, a key or an architecture that cannot be.
    """
    name = dict(values).get("architecture", "lipconvnet")
    if name == "resnet":
        return ResNetConfig.from_json(values)
    if name == "shiftnet":
        return ShiftNetConfig.from_json(values)
    if name == "lipconvnet":
        return LipConvnetConfig.from_json(values)
    raise UsageError(f"unknown architecture {str(name)[:80]!r}")


def build(config: Mapping[str, Any], where: str) -> LipschitzNet:
    """The model, with zero weights, that the configuration of a checkpoint describes.

    Args:
        config: the object under ``lipscope.config``.
        where: the file, for the message.

    Raises:
        CheckpointError: an unknown architecture or arguments that it cannot be built with.
    """
    name = config.get("architecture")
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise CheckpointError(
            f"unknown architecture {str(name)[:80]!r}",
            where=where,
            why=f"this version knows {', '.join(sorted(ARCHITECTURES))}",
            next_step="use the lipscope version that wrote it",
        )
    try:
        return ARCHITECTURES[name](config)
    except LipscopeError as error:
        raise CheckpointError(error.what, where=f"{where}: lipscope.config", why=error.why) from error
    except (TypeError, ValueError, OverflowError) as error:
        raise CheckpointError("malformed configuration", where=where, why=str(error)[:200]) from error
