"""The published SOC network from its description alone: plain convolutions on a state dict, nothing of lipscope.

Also writes random state dicts of that form, with the vectors of power iterations run to the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

MEAN, STD, TERMS = (0.4914, 0.4822, 0.4465), 0.2507, 12
TURN = 2 * math.pi


def flipped_transpose(free: Tensor) -> Tensor:
    return torch.stack([torch.stack([free[j, i].flip(0, 1) for j in range(len(free))]) for i in range(len(free))])


def skew(free: Tensor) -> Tensor:
    return 0.5 * (free - flipped_transpose(free))


def evaluation_kernel(state: dict[str, Tensor], prefix: str) -> Tensor:
    kernel = skew(state[f"{prefix}.random_conv_filter"])
    products = [float((kernel * state[f"{prefix}.u{i}"] * state[f"{prefix}.v{i}"]).sum()) for i in range(1, 5)]
    return kernel * float(state[f"{prefix}.correction"]) / min(products)


def exponential(x: Tensor, kernel: Tensor) -> Tensor:
    result = x
    term = x
    for k in range(1, TERMS + 1):
        term = F.conv2d(term, kernel, padding=kernel.shape[-1] // 2) / k
        result = result + term
    return result


def unshuffle(x: Tensor) -> Tensor:
    """Channel order (c, row in block, column in block), by slices."""
    slices = [x[:, c, row::2, column::2] for c in range(x.shape[1]) for row in range(2) for column in range(2)]
    return torch.stack(slices, dim=1)


def convolve(x: Tensor, state: dict[str, Tensor], prefix: str, stride: int) -> Tensor:
    if stride == 2:
        x = unshuffle(x)
    kernel, bias = evaluation_kernel(state, prefix), state[f"{prefix}.bias"]
    if x.shape[1] < len(kernel):
        zeros = torch.zeros(x.shape[0], len(kernel) - x.shape[1], *x.shape[2:], dtype=x.dtype)
        x = torch.cat([x, zeros], dim=1)
    return exponential(x, kernel)[:, : len(bias)] + bias[:, None, None]


def mirror(x: Tensor, y: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    return x * angle.cos() + y * angle.sin(), x * angle.sin() - y * angle.cos()


def activate(z: Tensor, state: dict[str, Tensor], prefix: str) -> Tensor:
    half = z.shape[1] // 2
    x, y = z[:, :half], z[:, half:]
    angles = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    if not angles:
        return torch.cat([torch.where(x > y, x, y), torch.where(x > y, y, x)], dim=1)
    shaped = {name: value.reshape(-1, 1, 1) for name, value in angles.items()}
    if set(shaped) == {"theta"}:
        theta = shaped["theta"]
        beyond = x * (theta / 2).sin() - y * (theta / 2).cos() > 0
        there, here = mirror(x, y, theta), (x, y)
        return torch.cat([torch.where(beyond, there[i], here[i]) for i in range(2)], dim=1)
    theta0, theta1, theta2 = (shaped[f"theta{i}"].clamp(0, TURN) for i in range(3))
    phi = torch.remainder(torch.atan2(y, x) - theta0 / 2, TURN)
    cosine, sine = theta2.cos(), theta2.sin()
    pieces = [
        (phi < theta1 / 2, (x, y)),
        (phi < (theta1 + theta2) / 2, mirror(x, y, theta0 + theta1)),
        (phi < (TURN + theta2) / 2, (x * cosine + y * sine, -x * sine + y * cosine)),
    ]
    result = mirror(x, y, theta0)
    for condition, piece in reversed(pieces):
        result = tuple(torch.where(condition, piece[i], result[i]) for i in range(2))
    return torch.cat(result, dim=1)


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
        weight = state["last_layer.weight"]
        rows = torch.stack([row / row.norm() for row in weight])
        return features @ rows.T + state["last_layer.bias"]
    return convolve(features[:, :, None, None], state, "last_layer", 1)[:, :, 0, 0]


def layout(blocks: int, channels: int) -> Iterator[tuple[str, int, int, int]]:
    """(prefix, C, outputs, kernel size) of every convolution."""
    current, planes = 3, channels
    for layer in range(1, 6):
        for block in range(blocks):
            last = block == blocks - 1
            inputs, outputs = (4 * current, 2 * planes) if last else (current, planes)
            yield f"layer{layer}.{block}", max(inputs, outputs), outputs, 1 if last and layer == 5 else 3
            current = outputs
        planes = current


def random_state(
    blocks: int, channels: int, activation: str, lln: bool, classes: int, seed: int = 0
) -> dict[str, Tensor]:
    """A random state dict as the published code would write it."""
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}

    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    def convolution(prefix: str, size: int, outputs: int, k: int) -> None:
        free = numbers(size, size, k, k) / math.sqrt(size)
        state[f"{prefix}.random_conv_filter"] = free
        # The four unfoldings: which axes of the kernel (out, in, row, column) go with the rows.
        for i, rows in enumerate(((1, 3), (1, 2), (1, 2, 3), (0, 2, 3)), start=1):
            columns = tuple(axis for axis in range(4) if axis not in rows)
            matrix = skew(free).permute(*rows, *columns).reshape(math.prod(free.shape[a] for a in rows), -1)
            v = numbers(matrix.shape[1])
            for _ in range(40):
                u = matrix @ v
                u = u / u.norm()
                v = matrix.T @ u
                v = v / v.norm()
            for name, vector, axes in (("u", u, rows), ("v", v, columns)):
                state[f"{prefix}.{name}{i}"] = vector.reshape([free.shape[a] if a in axes else 1 for a in range(4)])
        state[f"{prefix}.correction"] = torch.tensor([0.7 if k == 3 else 1.0])
        state[f"{prefix}.bias"] = numbers(outputs) / 10

    for prefix, size, outputs, k in layout(blocks, channels):
        convolution(f"{prefix}.conv", size, outputs, k)
        if activation == "hh1":
            state[f"{prefix}.activation.theta"] = numbers(1, outputs // 2, 1, 1) * 2
        if activation == "hh2":
            for i in range(3):
                # Some of them outside [0, 2 pi], as a training leaves them.
                state[f"{prefix}.activation.theta{i}"] = numbers(outputs // 2) * 3 + math.pi
    features = outputs
    if lln:
        state["last_layer.weight"] = numbers(classes, features)
        state["last_layer.bias"] = numbers(classes) / 10
    else:
        convolution("last_layer", max(features, classes), classes, 1)
    return state
