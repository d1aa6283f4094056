"""Cayley orthogonal convolution: weights and images transformed at every step, a matrix inverse at every frequency."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from baseline.soc import unshuffled


class Cayley(nn.Module):
    """(N, in, H, W) to (N, out, H / stride, W / stride), circular."""

    shift: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, side: int) -> None:
        super().__init__()
        taps = max(1, kernel_size // stride)
        inputs, self.stride, self.side = in_channels * stride**2, stride, side // stride
        limit = (inputs * taps**2) ** -0.5
        self.weight = nn.Parameter(torch.empty(out_channels, inputs, taps, taps).uniform_(-limit, limit))
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-limit, limit))
        half = self.side // 2 + 1
        steps = torch.arange(self.side)[:, None] + torch.arange(self.side)[None, :half]
        angle = -2 * math.pi * ((taps - 1) // 2) * steps / self.side
        self.register_buffer("shift", torch.polar(torch.ones_like(angle), angle).reshape(-1, 1, 1))
        self.length = nn.Parameter(self.symbols().detach().norm())

    def symbols(self) -> Tensor:
        """(n h, out, in) of the free weight."""
        spectrum = torch.fft.rfft2(self.weight, (self.side, self.side))
        return self.shift * spectrum.flatten(2).permute(2, 0, 1).conj()

    def forward(self, x: Tensor) -> Tensor:
        """Through the frequencies and back."""
        x = unshuffled(x, self.stride)
        batch, side, half = len(x), self.side, self.side // 2 + 1
        spectrum = torch.fft.rfft2(x).permute(2, 3, 1, 0).reshape(side * half, -1, batch)
        free = self.symbols()
        result = (cayley(self.length * free / free.norm()) @ spectrum).reshape(side, half, -1, batch)
        return torch.fft.irfft2(result.permute(3, 2, 0, 1), x.shape[2:]) + self.bias[:, None, None]


def cayley(free: Tensor) -> Tensor:
    """[(I + A)^-1 (I - A); -2 V (I + A)^-1], A = U - U* + V* V."""
    outputs, inputs = free.shape[1:]
    if inputs > outputs:
        return cayley(free.mT).mT
    upper, lower = free[:, :inputs], free[:, inputs:]
    identity = torch.eye(inputs, dtype=free.dtype)[None]
    a = upper - upper.mH + lower.mH @ lower
    inverse = torch.inverse(identity + a)
    return torch.cat([inverse @ (identity - a), -2 * lower @ inverse], dim=1)
