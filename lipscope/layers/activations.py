"""Activations that preserve gradient norm, by the names that configurations use."""

from __future__ import annotations

import re

from lipscope.layers.groupsort import GroupActivation, GroupSort, MaxMin
from lipscope.layers.householder import HouseHolder1, HouseHolder2

ACTIVATIONS = ("maxmin", "hh1", "hh2", "groupsort4")
"""Names to choose from; ``groupsort`` takes any group size from 2 on."""


def group_size(name: str) -> int | None:
    """How many channels an activation of this name takes together; None for a name that does not exist.

    >>> group_size("hh1"), group_size("groupsort8"), group_size("groupsort1"), group_size("relu")
    (2, 8, None, None)
    """
    if name in ("maxmin", "hh1", "hh2"):
        return 2
    sized = re.fullmatch(r"groupsort([1-9]\d{0,3})", name)
    return int(sized[1]) if sized and sized[1] != "1" else None


def activation(name: str, channels: int) -> GroupActivation:
    """The activation called ``"maxmin"``, ``"hh1"``, ``"hh2"`` or ``"groupsortK"`` with groups of K channels.

    Raises:
        KeyError: no activation of that name.
    """
    size = group_size(name)
    if size is None:
        raise KeyError(name)
    if name.startswith("groupsort"):
        return GroupSort(size)
    return MaxMin() if name == "maxmin" else {"hh1": HouseHolder1, "hh2": HouseHolder2}[name](channels)
