"""Activations that preserve gradient norm, by the names that configurations use: a new one is a class and a line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lipscope.registry import Registry

if TYPE_CHECKING:
    from lipscope.layers.groupsort import GroupActivation

SIZED = "groupsort4"

ACTIVATIONS: Registry[type[GroupActivation]] = Registry(
    "activation",
    {
        "maxmin": "layers.groupsort:MaxMin",
        "hh1": "layers.householder:HouseHolder1",
        "hh2": "layers.householder:HouseHolder2",
        SIZED: "layers.groupsort:GroupSort",
    },
)
"""Names to choose from; ``groupsort`` takes any group size from 2 on."""


def group_size(name: str) -> int | None:
    """How many channels an activation of this name takes together; None for a name that does not exist.

    >>> group_size("hh1"), group_size("groupsort8"), group_size("groupsort1"), group_size("relu")
    (2, 8, None, None)
    """
    sized = re.fullmatch(r"groupsort([1-9]\d{0,3})", name)
    if sized:
        return int(sized[1]) if sized[1] != "1" else None
    return ACTIVATIONS[name].group_size if name in ACTIVATIONS else None


def activation(name: str, channels: int) -> GroupActivation:
    """The activation called ``"maxmin"``, ``"hh1"``, ``"hh2"``, ..., or ``"groupsortK"`` with groups of K channels.

    Raises:
        KeyError: no activation of that name.
    """
    size = group_size(name)
    if size is None:
        raise KeyError(name)
    return ACTIVATIONS[SIZED if name.startswith("groupsort") else name].made(channels, size)
