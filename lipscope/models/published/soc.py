"""SOC convolutions of the published code: a free filter with the vectors of four power iterations."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lipscope.errors import CheckpointError
from lipscope.layers.orthogonal import OrthogonalConv2d
from lipscope.layers.skew import conjugate_kernel
from lipscope.models.published.reading import stored_tensor

UNFOLDINGS = 4
"""Inner products <K, u_i v_i>; the smallest is the estimate of the norm that the kernel is divided by."""


def soc_kernel(tensors: Mapping[str, Tensor], prefix: str, layer: OrthogonalConv2d, where: str) -> Tensor:
    """The skew kernel times correction / sigma, sigma the smallest of the four stored inner products."""
    free = stored_tensor(tensors, f"{prefix}.random_conv_filter", where)
    correction = stored_tensor(tensors, f"{prefix}.correction", where)
    pairs = [
        (stored_tensor(tensors, f"{prefix}.u{i}", where), stored_tensor(tensors, f"{prefix}.v{i}", where))
        for i in range(1, UNFOLDINGS + 1)
    ]
    try:
        skew = (free - conjugate_kernel(free)) / 2
        sigma = min((skew * u * v).sum() for u, v in pairs)
        return skew * (correction.reshape(()) / sigma)
    except (RuntimeError, IndexError) as error:
        raise CheckpointError(
            f"the tensors of {prefix} do not fit together", where=where, why=str(error)[:200]
        ) from error
