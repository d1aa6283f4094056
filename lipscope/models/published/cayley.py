"""Cayley convolutions of the published code: a free weight of a few taps, and the length that it is scaled to."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from lipscope.errors import CheckpointError
from lipscope.layers.cayley import CayleyConv2d
from lipscope.layers.frequency import storable_kernel
from lipscope.layers.orthogonal import OrthogonalConv2d
from lipscope.models.published.reading import stored_tensor


def published_cayley_kernel(tensors: Mapping[str, Tensor], prefix: str, layer: OrthogonalConv2d, where: str) -> Tensor:
    """The circular kernel that the published code evaluates, made orthogonal where its float32 was not.

    A dense last layer is a convolution on 1x1 images.
    """
    assert isinstance(layer, CayleyConv2d)
    weight = stored_tensor(tensors, f"{prefix}.weight", where)
    alpha = stored_tensor(tensors, f"{prefix}.alpha", where)
    if weight.ndim == 2:
        weight = weight[:, :, None, None]
    expected = (*layer.kernel.shape[:2], layer.taps, layer.taps)
    # The kernel on the whole grid can be a hundred times larger than the weight, so nothing is computed before this.
    if weight.shape != expected or alpha.numel() != 1:
        raise CheckpointError(
            f"the tensors of {prefix} do not fit together",
            where=where,
            why=f"weight {tuple(weight.shape)}, expected {expected}; alpha {tuple(alpha.shape)}",
        )
    symbols = published_symbols(weight, alpha.reshape(()), layer.grid)
    return storable_kernel(nearest_orthogonal(symbols[: layer.extent, : layer.extent].to(torch.complex128)))


def published_symbols(weight: Tensor, alpha: Tensor, grid: int) -> Tensor:
    """(n, h, out, in) complex64, by the operations of the published code in their order.

    The map amplifies roundings, of ||W^|| too: an exact one gives logits that are off by 5e-5 after five layers.

    Args:
        weight: (out, in, k, k) float32.
        alpha: a single number.
        grid: n.
    """
    shift = -((weight.shape[-1] - 1) // 2)
    places = torch.arange(grid).unsqueeze(1) + torch.arange(grid // 2 + 1).unsqueeze(0)
    phases = torch.exp(2j * math.pi * shift * places / grid).to(torch.complex64)
    free = torch.fft.rfft2(weight, (grid, grid)).conj() * phases
    scaled = (alpha * free / torch.linalg.vector_norm(free)).permute(2, 3, 0, 1)
    wide = scaled.shape[-1] > scaled.shape[-2]
    tall = scaled.mT if wide else scaled
    upper, lower = tall[..., : tall.shape[-1], :], tall[..., tall.shape[-1] :, :]
    identity = torch.eye(tall.shape[-1], dtype=tall.dtype)
    skew = upper - upper.mH + lower.mH @ lower
    inverse = torch.linalg.inv_ex(identity + skew).inverse
    mapped = torch.cat([inverse @ (identity - skew), -2 * lower @ inverse], dim=-2)
    return mapped.mT if wide else mapped


def nearest_orthogonal(matrices: Tensor) -> Tensor:
    """The polar factors of nearly (semi-)orthogonal matrices, by two steps of Newton and Schulz.

    X (3 - X* X) / 2 squares the distance from orthogonality, 1e-5 or so after float32.
    """
    wide = matrices.shape[-1] > matrices.shape[-2]
    tall = matrices.mT if wide else matrices
    identity = torch.eye(tall.shape[-1], dtype=tall.dtype)
    for _ in range(2):
        tall = tall @ (1.5 * identity - 0.5 * tall.mH @ tall)
    return tall.mT if wide else tall
