"""The published Cayley network from its description alone: Fourier transforms and inverses on a state dict."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tests.models.published.soc_reference import MEAN, STD, activate, layout, unshuffle


def cayley(free: Tensor) -> Tensor:
    """The map of (..., out, in), its formula as it stands."""
    outputs, inputs = free.shape[-2:]
    if inputs > outputs:
        return cayley(free.transpose(-1, -2)).transpose(-1, -2)
    u, v = free[..., :inputs, :], free[..., inputs:, :]
    a = u - u.conj().transpose(-1, -2) + v.conj().transpose(-1, -2) @ v
    one = torch.eye(inputs, dtype=free.dtype)
    inverse = torch.linalg.inv(one + a)
    return torch.cat([inverse @ (one - a), -2 * v @ inverse], dim=-2)


def symbols(weight: Tensor, alpha: Tensor, n: int) -> Tensor:
    """(n, n // 2 + 1, out, in)."""
    s = -((weight.shape[-1] - 1) // 2)
    a, b = torch.arange(n, dtype=weight.dtype)[:, None], torch.arange(n // 2 + 1, dtype=weight.dtype)[None]
    phases = torch.exp(2j * math.pi * s * (a + b) / n)
    free = torch.fft.rfft2(weight, (n, n)).conj() * phases
    return cayley((alpha * free / free.norm()).permute(2, 3, 0, 1))


def convolve(x: Tensor, state: dict[str, Tensor], prefix: str, stride: int) -> Tensor:
    if stride == 2:
        x = unshuffle(x)
    n = x.shape[-1]
    spectrum = torch.fft.rfft2(x).permute(2, 3, 1, 0)
    result = symbols(state[f"{prefix}.weight"], state[f"{prefix}.alpha"], n) @ spectrum
    return torch.fft.irfft2(result.permute(3, 2, 0, 1), s=(n, n)) + state[f"{prefix}.bias"][:, None, None]


def forward(state: dict[str, Tensor], images: Tensor, blocks: int) -> Tensor:
    """Logits of (N, 3, 32, 32) pixels in [0, 1]."""
    x = (images - torch.tensor(MEAN, dtype=images.dtype)[:, None, None]) / STD
    for layer in range(1, 6):
        for block in range(blocks):
            prefix = f"layer{layer}.{block}"
            x = convolve(x, state, f"{prefix}.conv", 2 if block == blocks - 1 else 1)
            x = activate(x, state, f"{prefix}.activation.")
    features, weight = x.flatten(1), state["last_layer.weight"]
    if "last_layer.alpha" in state:
        rows = cayley(state["last_layer.alpha"] * weight / weight.norm())
    else:
        rows = torch.stack([row / row.norm() for row in weight])
    return features @ rows.T + state["last_layer.bias"]


def random_state(
    blocks: int, channels: int, activation: str, lln: bool, classes: int, seed: int = 0
) -> dict[str, Tensor]:
    """A random state dict as the published code would write it."""
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}

    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    inputs = 3
    for prefix, _, outputs, k in layout(blocks, channels):
        layer, block = (int(part) for part in prefix.removeprefix("layer").split("."))
        strided = block == blocks - 1
        taps = max(1, k // 2) if strided else k
        weight = numbers(outputs, 4 * inputs if strided else inputs, taps, taps)
        side = 2 ** (6 - layer) // (2 if strided else 1)
        state[f"{prefix}.conv.weight"] = weight
        state[f"{prefix}.conv.bias"] = numbers(outputs) / 10
        # A length of about 2 at every frequency, so that the map is far from the identity.
        state[f"{prefix}.conv.alpha"] = torch.tensor(2.0 * math.sqrt(side * (side // 2 + 1)))
        if activation == "hh1":
            state[f"{prefix}.activation.theta"] = numbers(1, outputs // 2, 1, 1) * 2
        if activation == "hh2":
            for i in range(3):
                state[f"{prefix}.activation.theta{i}"] = numbers(outputs // 2) * 3 + math.pi
        inputs = outputs
    state["last_layer.weight"] = numbers(classes, inputs)
    state["last_layer.bias"] = numbers(classes) / 10
    if not lln:
        state["last_layer.alpha"] = torch.tensor([3.0])
    return state
