"""The families of orthogonal convolutions by name: a new one is a file with its layer and a line here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lipscope.layers.bcop import BCOPConv2d
from lipscope.layers.bro import BROConv2d
from lipscope.layers.cayley import CayleyConv2d
from lipscope.layers.lot import LOTConv2d
from lipscope.layers.orthogonal import OrthogonalConv2d
from lipscope.layers.soc import SOCConv2d


class Build(Protocol):
    """Makes a layer with zero weights."""

    def __call__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int, side: int, terms: int, /
    ) -> OrthogonalConv2d:
        """The layer for (N, in_channels, side, side).

        Args:
            in_channels, out_channels: as of any convolution.
            kernel_size: 1 or 3.
            stride: 1 or 2.
            side: height and width of the input, before the stride.
            terms: highest power of a series in eval mode, for families that sum one.
        """


@dataclass(frozen=True)
class Family:
    """A family of convolutions.

    Args:
        title: its name for a person.
        build: makes one of its layers.
    """

    title: str
    build: Build


CONVOLUTIONS: dict[str, Family] = {
    "soc": Family("SOC", lambda inputs, outputs, k, stride, side, terms: SOCConv2d(inputs, outputs, k, stride, terms)),
    "bcop": Family("BCOP", lambda inputs, outputs, k, stride, side, _: BCOPConv2d(inputs, outputs, k, stride, side)),
    "cayley": Family(
        "Cayley", lambda inputs, outputs, k, stride, side, _: CayleyConv2d(inputs, outputs, k, stride, side)
    ),
    "bro": Family("BRO", lambda inputs, outputs, k, stride, side, _: BROConv2d(inputs, outputs, k, stride, side)),
    "lot": Family("LOT", lambda inputs, outputs, k, stride, side, _: LOTConv2d(inputs, outputs, k, stride, side)),
}
"""By the name that configurations, checkpoints and ``--conv`` use."""
