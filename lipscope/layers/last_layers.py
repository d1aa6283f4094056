"""Last layers by name: a new one is a class, or what makes it, and a line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lipscope.registry import Registry

if TYPE_CHECKING:
    from lipscope.layers.heads import Head

HEADS: Registry[Callable[[int, int, int, str], Head]] = Registry(
    "head", {"lln": "layers.heads:lln", "orthogonal": "layers.heads:OrthogonalHead"}
)
"""(features, classes, terms, family) to a head with zero weights, by the name that configurations use."""
