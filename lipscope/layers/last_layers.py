"""Last layers by name: a new one is a class and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lipscope.registry import Registry

if TYPE_CHECKING:
    from lipscope.layers.heads import Head

HEADS: Registry[type[Head]] = Registry(
    "head", {"lln": "layers.heads:LastLayerNormalized", "orthogonal": "layers.heads:OrthogonalHead"}
)
"""By the name that configurations, checkpoints and ``--head`` use."""


def head(name: str, features: int, classes: int, terms: int, family: str = "soc") -> Head:
    """The head of this name; the series' terms and the family of convolutions are for those that are made of one.

    Raises:
        UsageError: no head of that name.
    """
    return HEADS[name].made(features, classes, terms, family)
