"""Architectures by name: what a checkpoint's configuration builds. A new one is a file and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lipscope.errors import CheckpointError, LipscopeError, UsageError
from lipscope.registry import Registry

if TYPE_CHECKING:
    from lipscope.models.architecture import Config
    from lipscope.models.composition import LipschitzNet

ARCHITECTURES: Registry[type[Config]] = Registry(
    "architecture",
    {
        "lipconvnet": "models.lipconvnet:LipConvnetConfig",
        "resnet": "models.resnet:ResNetConfig",
        "shiftnet": "models.shiftnet:ShiftNetConfig",
    },
)
"""By the name that configurations, checkpoints and ``--model`` use."""


def configuration(values: Mapping[str, Any]) -> Config:
    """The configuration of a known architecture.

    Raises:
        UsageError: a value, a key or an architecture that cannot be.
    """
    return ARCHITECTURES[dict(values).get("architecture", "lipconvnet")].from_json(values)


def kind_of(model: str) -> type[Config]:
    """The architecture of a model's name, which may end in a depth: ``resnet18``.

    Raises:
        UsageError: there is none.
    """
    return ARCHITECTURES[model.rstrip("0123456789")]


def asked_for(model: str, given: Mapping[str, Any], dataset: str) -> Config:
    """The configuration of ``lipscope train --model``: an architecture, with its depth where it has one, and options.

    Raises:
        UsageError: an architecture or a value that cannot be, or an option of another architecture.

    >>> asked_for("resnet18", {"channels": 4}, "cifar10").title
    'ResNet-18 (4 channels, SOC)'
    """
    kind, depth = kind_of(model), model[len(model.rstrip("0123456789")) :]
    values = {**given, **({"depth": int(depth)} if depth else {})}
    for option in values:
        if option not in kind.OPTIONS:
            models = ", ".join(known for known, other in ARCHITECTURES.items() if option in other.OPTIONS)
            raise UsageError(f"--{option} is for --model {models}", next_step="leave the option out")
    return kind.from_options({**values, "dataset": dataset})


def build(config: Mapping[str, Any], where: str) -> LipschitzNet:
    """The model, with zero weights, that the configuration of a checkpoint describes.

    Args:
        config: the object under ``lipscope.config``.
        where: the file, for the message.

    Raises:
        CheckpointError: an unknown architecture or arguments that it cannot be built with.
    """
    name = config.get("architecture")
    if name not in ARCHITECTURES:
        raise CheckpointError(
            f"unknown architecture {str(name)[:80]!r}",
            where=where,
            why=f"this version knows {', '.join(sorted(ARCHITECTURES))}",
            next_step="use the lipscope version that wrote it",
        )
    try:
        return configuration(config).build()
    except LipscopeError as error:
        raise CheckpointError(error.what, where=f"{where}: lipscope.config", why=error.why) from error
    except (TypeError, ValueError, OverflowError) as error:
        raise CheckpointError("malformed configuration", where=where, why=str(error)[:200]) from error
