"""The families of 1-Lipschitz convolutions by name: a new one is a file with its layer and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lipscope.registry import Registry

if TYPE_CHECKING:
    from lipscope.layers.orthogonal import Family

CONVOLUTIONS: Registry[Family] = Registry(
    "conv",
    {
        "soc": "layers.soc:SOC",
        "bcop": "layers.bcop:BCOP",
        "cayley": "layers.cayley:CAYLEY",
        "bro": "layers.bro:BRO",
        "lot": "layers.lot:LOT",
        "aoc": "layers.aoc:AOC",
        "aol": "layers.aol:AOL",
        "liresnet": "layers.liresnet:LIRESNET",
        "cpl": "layers.cpl:CPL",
        "sll": "layers.sll:SLL",
        "sandwich": "layers.sandwich:SANDWICH",
    },
)
"""By the name that configurations, checkpoints and ``--conv`` use."""
