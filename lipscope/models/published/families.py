"""The families of convolutions that the published code writes: how to know one, how to compute what we store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from lipscope.layers.orthogonal import OrthogonalConv2d
from lipscope.models.published.bcop import published_bcop_kernel
from lipscope.models.published.cayley import published_cayley_kernel
from lipscope.models.published.soc import soc_kernel


class KernelOf(Protocol):
    """Computes the stored kernel of one convolution."""

    def __call__(self, tensors: Mapping[str, Tensor], prefix: str, layer: OrthogonalConv2d, where: str, /) -> Tensor:
        """The kernel, in float32.

        Args:
            tensors: the whole state dict.
            prefix: the convolution's, e.g. ``"layer1.0.conv"``.
            layer: the one to fill, with its channels, stride, side and shape of kernel; its weights hold nothing.
            where: the file, for messages.

        Raises:
            CheckpointError: tensors that are missing or do not fit together.
        """


@dataclass(frozen=True)
class PublishedFamily:
    """One family in the published code.

    Args:
        mark: the last name of a tensor that every convolution of this family has, and no other.
        kernel: computes the stored kernel.
    """

    mark: str
    kernel: KernelOf


FAMILIES: dict[str, PublishedFamily] = {
    "soc": PublishedFamily("random_conv_filter", soc_kernel),
    "bcop": PublishedFamily("conv_matrices", published_bcop_kernel),
    "cayley": PublishedFamily("alpha", published_cayley_kernel),
}
"""By the name that configurations use."""
