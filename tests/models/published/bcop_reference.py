"""The published BCOP network from its description alone: whole projectors and blocks, multiplied one by one.

Also writes random state dicts of that form.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.models.published.soc_reference import MEAN, STD, activate, layout, unshuffle

BJORCK_STEPS = 20

Blocks = dict[tuple[int, int], Tensor]


def orthonormal(matrix: Tensor) -> Tensor:
    result = matrix / torch.linalg.svdvals(matrix)[0]
    for _ in range(BJORCK_STEPS):
        result = 1.5 * result - 0.5 * result @ result.T @ result
    return result


def two_by_two(p: Tensor, q: Tensor) -> Blocks:
    one = torch.eye(len(p), dtype=p.dtype)
    return {(0, 0): p @ q, (0, 1): p @ (one - q), (1, 0): (one - p) @ q, (1, 1): (one - p) @ (one - q)}


def convolved(first: Blocks, second: Blocks) -> Blocks:
    result: Blocks = {}
    for (a, b), left in first.items():
        for (c, d), right in second.items():
            place = (a + c, b + d)
            result[place] = left @ right + result.get(place, torch.zeros_like(left))
    return result


def evaluation_kernel(matrices: Tensor, mask: Tensor, inputs: int, outputs: int) -> Tensor:
    """(outputs, inputs, k, k) from (2k-1, C, C) and (2k-2, 1, C)."""
    first, *others = [orthonormal(matrix) for matrix in matrices]
    h = first[:inputs, :outputs]
    if not others:
        return h.T[:, :, None, None]
    projectors = [(q * m) @ (q * m).T for q, m in zip(others, mask, strict=True)]
    blocks = two_by_two(projectors[0], projectors[1])
    for i in range(2, len(projectors), 2):
        blocks = convolved(blocks, two_by_two(projectors[i], projectors[i + 1]))
    k = (len(matrices) + 1) // 2
    kernel = torch.zeros(outputs, inputs, k, k, dtype=matrices.dtype)
    for (a, b), block in blocks.items():
        # The first index of a block is the column of the kernel.
        kernel[:, :, b, a] = h.T @ block if inputs > outputs else (h @ block).T
    return kernel


def convolve(x: Tensor, state: dict[str, Tensor], prefix: str, stride: int) -> Tensor:
    if stride == 2:
        x = unshuffle(x)
    bias = state[f"{prefix}.bias"]
    kernel = evaluation_kernel(
        state[f"{prefix}.conv_matrices"], state[f"{prefix}.mask"].to(x.dtype), x.shape[1], len(bias)
    )
    reach = kernel.shape[-1] // 2
    rows = torch.arange(-reach, x.shape[2] + reach) % x.shape[2]
    columns = torch.arange(-reach, x.shape[3] + reach) % x.shape[3]
    return F.conv2d(x[:, :, rows][:, :, :, columns], kernel) + bias[:, None, None]


def forward(state: dict[str, Tensor], images: Tensor, blocks: int) -> Tensor:
    """Logits of (N, 3, 32, 32) pixels in [0, 1]."""
    x = (images - torch.tensor(MEAN, dtype=images.dtype)[:, None, None]) / STD
    for layer in range(1, 6):
        for block in range(blocks):
            prefix = f"layer{layer}.{block}"
            x = convolve(x, state, f"{prefix}.conv", 2 if block == blocks - 1 else 1)
            x = activate(x, state, f"{prefix}.activation.")
    features = x.flatten(1)
    if "last_layer.weight" in state:
        rows = torch.stack([row / row.norm() for row in state["last_layer.weight"]])
        return features @ rows.T + state["last_layer.bias"]
    return convolve(features[:, :, None, None], state, "last_layer", 1)[:, :, 0, 0]


def random_state(
    blocks: int, channels: int, activation: str, lln: bool, classes: int, seed: int = 0
) -> dict[str, Tensor]:
    """A random state dict as the published code would write it; its matrices are normal, some nearly singular."""
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}

    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    def convolution(prefix: str, size: int, outputs: int, k: int) -> None:
        state[f"{prefix}.conv_matrices"] = numbers(2 * k - 1, size, size) / math.sqrt(size)
        state[f"{prefix}.mask"] = (torch.arange(size) < size // 2).float().expand(2 * k - 2, 1, size).clone()
        state[f"{prefix}.bias"] = numbers(outputs) / 10

    for prefix, size, outputs, k in layout(blocks, channels):
        convolution(f"{prefix}.conv", size, outputs, k)
        if activation == "hh1":
            state[f"{prefix}.activation.theta"] = numbers(1, outputs // 2, 1, 1) * 2
        if activation == "hh2":
            for i in range(3):
                state[f"{prefix}.activation.theta{i}"] = numbers(outputs // 2) * 3 + math.pi
    if lln:
        state["last_layer.weight"] = numbers(classes, outputs)
        state["last_layer.bias"] = numbers(classes) / 10
    else:
        convolution("last_layer", max(outputs, classes), classes, 1)
    return state
