"""BCOP convolutions of the published code: free square matrices, orthonormalised by Bjorck's iteration.

The kernel is computed from the tensors of the file, as the published network does it once they are loaded into it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lipscope.errors import CheckpointError
from lipscope.layers.bcop import BCOPConv2d, bcop_kernel
from lipscope.layers.orthogonal import OrthogonalConv2d
from lipscope.models.published.reading import stored_tensor

BJORCK_STEPS = 20
"""Of the published code: directions of small singular values may not have converged, and stay as they are then."""

SETTLED = 1e-10
"""Largest entry of W^T W - I after which one step is the last that float64 can tell."""


def published_bcop_kernel(tensors: Mapping[str, Tensor], prefix: str, layer: OrthogonalConv2d, where: str) -> Tensor:
    """The block convolution of the projectors with the isometry, scaled so that its proved bound is at most 1."""
    assert isinstance(layer, BCOPConv2d)
    matrices = stored_tensor(tensors, f"{prefix}.conv_matrices", where)
    outputs, inputs, size, _ = layer.kernel.shape
    larger = max(inputs, outputs)
    if matrices.shape != (2 * size - 1, larger, larger):
        raise CheckpointError(
            f"{prefix}.conv_matrices does not fit",
            where=where,
            why=f"{tuple(matrices.shape)}, expected {(2 * size - 1, larger, larger)}",
        )
    mask = stored_tensor(tensors, f"{prefix}.mask", where)
    if mask.shape != (2 * size - 2, 1, larger) or not bool(((mask == 0) | (mask == 1)).all()):
        raise CheckpointError(
            f"{prefix}.mask does not fit", where=where, why=f"expected zeros and ones {(2 * size - 2, 1, larger)}"
        )
    orthonormal = bjorck(matrices.double())
    first = orthonormal[0, :inputs, :outputs]
    isometry = first if inputs > outputs else first.mT
    bases = [matrix[:, kept[0] == 1] for matrix, kept in zip(orthonormal[1:], mask, strict=True)]
    return layer.storable(bcop_kernel(isometry, bases, inputs, outputs))


def bjorck(matrices: Tensor) -> Tensor:
    """Each matrix divided by its spectral norm, then 20 times W <- 3/2 W - 1/2 W W^T W (Bjorck & Bowie, 1971).

    Args:
        matrices: (batch, n, n).
    """
    norms: Tensor = torch.linalg.matrix_norm(matrices, 2)
    result = matrices / norms.reshape(-1, 1, 1)
    identity = torch.eye(result.shape[-1], dtype=result.dtype)
    for _ in range(BJORCK_STEPS):
        gram = result.mT @ result
        result = 1.5 * result - 0.5 * result @ gram
        # The error is squared by every step: the others would change nothing any more.
        if float((gram - identity).abs().max()) < SETTLED:
            break
    return result
